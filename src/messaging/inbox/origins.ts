import type { Events } from '../../kernel/events.js';
import { Header } from '../headers.js';
import type { Opened } from './message.js';

/** An origin is a short text; anything longer is none of ours. */
const MOST_LETTERS = 64;
/** Between two events about one id, once it is known that its messages come from several databases. */
const QUIET_MS = 60_000;

interface Known {
  origin: string;
  changes: number;
  toldAt: number;
}

/**
 * Notices when messages of one CQRS_ID come from several databases: two services have declared it, by mistake, or its master
 * has moved. Only that is remembered of each id, as long as the worker runs. Messages that were delivered once more, retries and
 * those of masters that do not say where they come from (Python) tell nothing.
 */
export class Origins {
  readonly #known = new Map<string, Known>();
  readonly #ids: ReadonlySet<string>;

  constructor(
    private readonly parts: {
      readonly queue: string;
      readonly cqrsIds: readonly string[];
      readonly events: Events;
      /** Default: the clock. */
      readonly now?: () => number;
    },
  ) {
    this.#ids = new Set(parts.cqrsIds);
  }

  /** Looks at a message that has come, and answers it. */
  noticing(opened: Opened): Opened {
    const origin = opened.delivery.headers[Header.origin];
    if (
      'payload' in opened &&
      isOrigin(origin) &&
      !opened.delivery.redelivered &&
      this.#ids.has(opened.payload.cqrsId)
    ) {
      this.#notice(opened.payload.cqrsId, origin);
    }
    return opened;
  }

  #notice(cqrsId: string, origin: string): void {
    const known = this.#known.get(cqrsId);
    if (!known) this.#known.set(cqrsId, { origin, changes: 0, toldAt: -Infinity });
    if (!known || known.origin === origin) return;
    known.origin = origin;
    known.changes += 1;
    const now = (this.parts.now ?? Date.now)();
    // The first change may be a move; from the second on it is said that it is none, and then not too often.
    if (known.changes > 2 && now - known.toldAt < QUIET_MS) return;
    known.toldAt = now;
    this.parts.events.emit('cqrs.inbox.origin-changed', {
      queue: this.parts.queue,
      cqrsId,
      changes: known.changes,
    });
  }
}

function isOrigin(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MOST_LETTERS;
}
