import { unreadableQueueOf } from '../../kernel/queue-names.js';
import { describeError } from '../../kernel/describe-error.js';
import { pause } from '../../kernel/service.js';
import type { Cqrs } from '../../cqrs.js';
import type { QueueState } from '../../messaging/transport/transport.js';

/** What the broker says of the queues that concern this service. */
export interface BrokerState {
  readonly error: string | null;
  /** Null: there is no such queue. */
  readonly queues: ReadonlyMap<string, QueueState | null>;
}

const PATIENCE_MS = 3_000;
const FRESH_MS = 1_500;

/** Asks the broker for everybody who wants to know at the same moment, and waits for no broker that is away. */
export class BrokerLook {
  #last?: { readonly state: BrokerState; readonly at: number };
  #looking?: Promise<BrokerState>;

  constructor(private readonly cqrs: Cqrs) {}

  async look(): Promise<BrokerState> {
    if (this.#last && performance.now() - this.#last.at < FRESH_MS) return this.#last.state;
    this.#looking ??= this.#ask().finally(() => (this.#looking = undefined));
    const over = new AbortController();
    const late = pause(PATIENCE_MS, over.signal).then((): BrokerState => ({
      error: `the broker has not answered for ${PATIENCE_MS / 1_000} s`,
      queues: new Map(),
    }));
    const state = await Promise.race([this.#looking, late]);
    over.abort();
    this.#last = { state, at: performance.now() };
    return state;
  }

  /** Of one queue; null when there is none, or the broker does not answer. */
  static of({ queues }: BrokerState, name: string | null): QueueState | null {
    return name === null ? null : (queues.get(name) ?? null);
  }

  async #ask(): Promise<BrokerState> {
    const { cqrs } = this;
    const { queue } = cqrs.settings;
    const own = queue === null ? [] : [queue, deadLettersOf(cqrs)!, unreadableOf(cqrs)!];
    const queues = new Map<string, QueueState | null>();
    try {
      await cqrs.connect();
      for (const name of new Set([...cqrs.settings.admin.queues, ...own])) {
        queues.set(name, (await cqrs.transport.inspect(name)) ?? null);
      }
      return { error: null, queues };
    } catch (error) {
      return { error: describeError(error), queues };
    }
  }
}

export function deadLettersOf(cqrs: Cqrs): string | null {
  const { queue } = cqrs.settings;
  return queue === null ? null : cqrs.deadLetterQueueOf(queue);
}

export function unreadableOf({ settings: { queue } }: Cqrs): string | null {
  return queue === null ? null : unreadableQueueOf(queue);
}
