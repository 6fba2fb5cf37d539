import { copyRows, fitsCopy, knownKeys } from './copy-statements.js';
import { DatabaseError } from './database-errors.js';
import type { Prepared } from './prepare.js';
import type { ReplicaDefinition } from './replica-definition.js';
import { applied, type Settle } from './row-path.js';
import type { SqlSession } from './sql-session.js';

/**
 * Writes the rows of a bulk load of which nothing is known yet, which is nearly all of them when a replica is filled, by
 * COPY: it stores a row in a third of the time that an upsert takes.
 *
 *   look ─▶ neither a row nor a tombstone: COPY
 *       └─▶ known: the usual ways, within the same transaction
 *
 * The keys are locked, so no tombstone comes in between. A row may, from a worker that writes the same keys: COPY then fails
 * on the key, as it does on a bad value, and takes the transaction with it. Who has called takes that row out.
 */
export class CopyPath {
  /** Whether COPY stores the same as an upsert. */
  readonly #fits = new WeakMap<ReplicaDefinition, boolean>();
  /** How many batches of an entity are still not to look. */
  readonly #wary = new WeakMap<ReplicaDefinition, number>();

  constructor(
    /** The quoted table of `Tombstone`. */
    private readonly tombstones: string,
  ) {}

  /** @returns the messages that have to go the usual ways. */
  async write(
    session: SqlSession,
    definition: ReplicaDefinition,
    messages: readonly Prepared[],
    settle: Settle,
  ): Promise<readonly Prepared[]> {
    const wary = this.#wary.get(definition) ?? 0;
    this.#wary.set(definition, Math.max(0, wary - 1));
    if (wary > 0 || !session.canCopy || !(await this.#fitsCopy(session, definition))) return messages;
    const single = messagesAlone(messages);
    const keys = single.map((message) => message.key);
    const answer = await session.run(knownKeys(definition, keys, this.tombstones));
    const known = new Set(answer.map((row) => row['key']!));
    if (known.size > single.length / 2) this.#wary.set(definition, WARY_BATCHES);
    const fresh = known.size === 0 ? single : single.filter((message) => !known.has(message.key.text));
    if (fresh.length === 0) return messages;
    await this.#copy(session, definition, fresh);
    for (const message of fresh) settle(message, applied(message, 'create'));
    if (fresh.length === messages.length) return [];
    const done = new Set(fresh);
    return messages.filter((message) => !done.has(message));
  }

  async #copy(session: SqlSession, definition: ReplicaDefinition, fresh: readonly Prepared[]): Promise<void> {
    const rows = fresh.map(({ row, incoming }) => ({ values: row!.values, version: incoming.version }));
    try {
      const [answer] = await session.run(copyRows(definition, fresh[0]!.row!.columns, rows));
      if (Number(answer?.['count']) !== rows.length) throw new Error('A trigger has kept rows back.');
    } catch (error) {
      const line = error instanceof DatabaseError ? error.copyLine : undefined;
      const culprit = line === undefined ? undefined : fresh[line - 1];
      if (culprit) throw new CopyRefused(culprit.index, { cause: error });
      this.#wary.set(definition, WARY_AFTER_FAILURE);
      throw error;
    }
  }

  async #fitsCopy(session: SqlSession, definition: ReplicaDefinition): Promise<boolean> {
    const known = this.#fits.get(definition);
    if (known !== undefined) return known;
    const [answer] = await session.run(fitsCopy(definition));
    const fits = answer!['fits'] === 'true';
    this.#fits.set(definition, fits);
    return fits;
  }
}

/** A row that COPY has stumbled over: its values do not fit, or a worker has written its key meanwhile. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';

  constructor(
    /** Its place in the batch. */
    readonly index: number,
    options: ErrorOptions,
  ) {
    super('COPY refuses a row.', options);
  }
}

const WARY_BATCHES = 20;
const WARY_AFTER_FAILURE = 5;

/** Those with a key and a set of columns that need no rule but "nothing is there", in the order in which all write. */
function messagesAlone(messages: readonly Prepared[]): Prepared[] {
  const columns = messages[0]!.row?.columns;
  const byKey = new Map<string, Prepared | undefined>();
  for (const message of messages) {
    const fits = message.row !== undefined && message.row.columns === columns && !message.incoming.tooOld;
    byKey.set(message.key.text, fits && !byKey.has(message.key.text) ? message : undefined);
  }
  const single = [...byKey.values()].filter((message) => message !== undefined);
  return single.toSorted((a, b) => (a.key.text < b.key.text ? -1 : 1));
}
