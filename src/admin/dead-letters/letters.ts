import { createHash } from 'node:crypto';
import type { Cqrs } from '../../cqrs.js';
import { type Letter as FoundLetter, letterQueues, selectLetters } from '../../operations/dead-letters.js';
import { showLetter } from '../../operations/shown-letter.js';
import { ApiProblem } from '../http/api-problem.js';
import type { Letter, LetterGroup } from '../contract.js';
import { faultyField, fieldNamed } from './letter-field.js';

/**
 * Dead letters, looked at. AMQP shows a message only to whoever takes it, and meanwhile others do not see it: so each
 * look is short, takes at most `MOST`, gives them back at once, and serves everybody who asks within the next moments.
 */

export const MOST = 2_000;
const FRESH_MS = 2_000;

/** What a look has found; no bodies. */
export interface Look {
  readonly queue: string;
  readonly exists: boolean;
  readonly count: number;
  readonly letters: readonly Letter[];
  readonly groups: readonly LetterGroup[];
}

export class LetterBox {
  #last?: { readonly look: Look; readonly at: number };
  #looking?: Promise<Look>;
  #turn: Promise<unknown> = Promise.resolve();
  #working = 0;

  constructor(private readonly cqrs: Cqrs) {}

  /** @throws ApiProblem for a service without a queue. */
  async look({ fresh = false }: { fresh?: boolean } = {}): Promise<Look> {
    const last = this.#last;
    // Whoever works on them holds them: what is left to see is not all there is.
    if (last && !fresh && (this.#working > 0 || performance.now() - last.at < FRESH_MS)) return last.look;
    return (this.#looking ??= this.exclusively(() => this.#look()).finally(() => (this.#looking = undefined)));
  }

  /** One letter with its body. @throws ApiProblem when it is not among those that are looked at. */
  async find(id: string): Promise<FoundLetter> {
    this.#assertQueue();
    return this.exclusively(async () => {
      let left = MOST;
      for await (const { letter } of selectLetters(this.cqrs)) {
        if (letter.id === id) return letter;
        if (--left === 0) break;
      }
      throw new ApiProblem('not-found', 'There is no such dead letter any more.', {
        cure: 'It was put back, purged, or is being looked at by somebody else.',
      });
    });
  }

  /** For work that takes letters away: nobody of this process looks meanwhile, and what was seen before is forgotten. */
  async work<T>(task: () => Promise<T>): Promise<T> {
    this.#assertQueue();
    this.#working++;
    try {
      return await this.exclusively(task);
    } finally {
      this.#working--;
      this.#last = undefined;
    }
  }

  private exclusively<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task, task);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #look(): Promise<Look> {
    this.#assertQueue();
    const { cqrs } = this;
    const { deadLetterQueue } = letterQueues(cqrs, {});
    await cqrs.connect();
    const state = await cqrs.transport.inspect(deadLetterQueue);
    const found: FoundLetter[] = [];
    if (state) {
      for await (const { letter } of selectLetters(cqrs)) if (found.push(letter) >= MOST) break;
    }
    const byGroup = Map.groupBy(found, groupOf);
    const fields = new Map<string, string | null>();
    for (const [id, [sample]] of byGroup) fields.set(id, (await faultyField(cqrs, sample!))?.field ?? null);
    const letters = found.map((letter) =>
      toLetter(cqrs, letter, fieldNamed(letter.error ?? '') ?? fields.get(groupOf(letter)) ?? null),
    );
    const look: Look = {
      queue: deadLetterQueue,
      exists: state !== undefined,
      count: Math.max(found.length, state?.messages ?? 0),
      letters,
      groups: groupsOf(letters),
    };
    this.#last = { look, at: performance.now() };
    return look;
  }

  #assertQueue(): void {
    if (this.cqrs.settings.queue === null) {
      throw new ApiProblem('not-found', 'This service consumes no queue, and so has no dead letters.', {
        cure: 'Dead letters are with the service of the replica.',
      });
    }
  }
}

/** Letters that ended for the same reason, numbers in it aside. */
export function groupOf({ cqrsId, reason, error }: Pick<FoundLetter, 'cqrsId' | 'reason' | 'error'>): string {
  const alike = (error ?? '').replaceAll(/\d+/g, '#');
  return createHash('sha256')
    .update(JSON.stringify([cqrsId, reason, alike]))
    .digest('hex')
    .slice(0, 12);
}

export function toLetter(cqrs: Cqrs, letter: FoundLetter, field: string | null): Letter {
  const { id, cqrsId, signalType, retries, reason, since } = letter;
  const { key, error } = showLetter(cqrs, letter);
  return {
    id,
    group: groupOf(letter),
    cqrsId,
    signalType,
    key,
    retries,
    reason,
    error,
    field,
    since: since?.toISOString() ?? null,
  };
}

function groupsOf(letters: readonly Letter[]): LetterGroup[] {
  return [...Map.groupBy(letters, ({ group }) => group)]
    .map(([id, members]): LetterGroup => {
      const [first] = members;
      const times = members.flatMap(({ since }) => since ?? []).toSorted();
      return {
        id,
        cqrsId: first!.cqrsId,
        reason: first!.reason,
        error: first!.error,
        field: first!.field,
        count: members.length,
        oldest: times[0] ?? null,
        newest: times.at(-1) ?? null,
        mostRetries: Math.max(...members.map(({ retries }) => retries)),
      };
    })
    .toSorted((one, other) => other.count - one.count);
}
