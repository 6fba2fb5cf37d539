import type { EntityManager } from '@mikro-orm/core';
import { sqlState } from '../../../kernel/describe-error.js';
import type { Events } from '../../../kernel/events.js';
import { InvalidPayloadError, MappingError } from '../../../kernel/errors.js';
import type { ExactTexts } from '../../../wire/exact-texts.js';
import { failPoint } from '../../../kernel/fail-points.js';
import { readVersion, SignalType } from '../../../wire/payload.js';
import type { Settings } from '../../../kernel/settings.js';
import type { WireObject } from '../../../wire/values.js';
import { anyTombstone, copyRows, fitsCopy, knownKeys } from './copy-statements.js';
import { copyLine } from './copy-text.js';
import { DatabaseError } from './database-errors.js';
import { mapKey, mapRow } from '../definition/field-mapping.js';
import { KeyLocks } from '../key-locks.js';
import { discriminatorOf, type ReplicaColumn } from '../definition/replica-columns.js';
import type { KnownTables } from '../table/known-tables.js';
import type { LossyValues } from '../table/lossy-values.js';
import type { SenderTimes } from '../sender-times.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Statement } from './replica-table.js';
import { askForKeys, hasPlainKeys, normalizeKey, readRowKey, type RowKey, rowKey } from '../definition/row-keys.js';
import { inSavepointOf, SqlSession } from './sql-session.js';
import { bornFrom } from '../rules/stored-version.js';
import { TimeLimits } from '../time-limits.js';

/** All that is kept of a row until it is written. A class for the reason that `messaging/inbox/message.ts` gives. */
export class CopyRow {
  constructor(
    /** The text of its key. */
    public key: string,
    readonly columns: readonly ReplicaColumn[],
    /** As COPY reads it. */
    readonly line: string,
    /** Microseconds since 1970. */
    readonly updated: number,
    /** @see MappedRow.lossy */
    readonly lossy?: readonly ReplicaColumn[],
  ) {}
}

interface CopyParts {
  /** Any EntityManager of the service; it is forked for every batch. */
  readonly em: EntityManager;
  readonly settings: Settings;
  readonly events: Events;
  readonly times: SenderTimes;
  readonly tables: KnownTables;
  readonly lossy: LossyValues;
  /** The quoted table of `Tombstone`. */
  readonly tombstones: string;
}

/** What was seen of an entity. */
interface Seen {
  /** Whether COPY stores the same as an upsert; undefined when nobody has looked. */
  fits?: boolean;
  /** So many batches are still to go the usual ways. */
  wary: number;
  /** So many batches are still to look which rows are there. */
  looking: number;
}

/**
 * Writes the rows of a bulk load of which nothing is known yet, which is nearly all of them when a replica is filled, by
 * COPY: it stores a row in a third of the time that an upsert takes.
 *
 *   look ─▶ neither a row nor a tombstone: COPY
 *       └─▶ known, or several lines of one key: the caller's, for the usual ways
 *
 * The keys are locked, so no tombstone comes in between. A row may, from a worker that writes the same keys: COPY then fails
 * on the key, as it does on a bad value, and takes the transaction with it. So the look at rows is a matter of speed: the
 * first batch looks, since a replica that is loaded again knows most of them, and then only those after a COPY that has
 * failed on one. Tombstones are looked for wherever the entity has any.
 */
export class CopyPath {
  readonly #seen = new WeakMap<ReplicaDefinition, Seen>();

  constructor(private readonly parts: CopyParts) {}

  /** Comes first: `read` has to know the tables. @param within an EntityManager whose transaction is open. */
  async prepare(within?: EntityManager): Promise<void> {
    await this.parts.tables.load(within ?? this.parts.em.fork());
  }

  /** Whether to try the next batch of an entity. */
  isWorthwhile(definition: ReplicaDefinition): boolean {
    if (definition.path !== 'rows') return false;
    const seen = this.#of(definition);
    if (seen.wary === 0) return seen.fits !== false;
    seen.wary--;
    return false;
  }

  /** What is written of a SAVE or SYNC; undefined when something is wrong with it, which the usual ways tell. */
  read(
    definition: ReplicaDefinition,
    came: WireObject,
    { incarnation, texts }: { incarnation: number | null; texts: ExactTexts | null },
  ): CopyRow | undefined {
    try {
      const data = this.parts.times.readRow(definition, came);
      const version = bornFrom(readVersion(definition.cqrsId, data, incarnation));
      const checks = this.parts.lossy.checksOf(definition);
      const key = mapKey(definition, { signalType: SignalType.SAVE, instanceData: data }, checks);
      const row = mapRow(definition, data, key, { texts, checks });
      if (this.parts.lossy.verdict(definition, row)) return undefined;
      const line = copyLine(row.values, version, discriminatorOf(definition.meta)?.value);
      const { text } = rowKey(normalizeKey(definition, key));
      return new CopyRow(text, row.columns, line, version.updated, row.lossy);
    } catch (error) {
      if (error instanceof MappingError || error instanceof InvalidPayloadError) return undefined;
      throw error;
    }
  }

  /**
   * @param within an EntityManager whose open transaction takes the rows in, in a savepoint, instead of one of their own.
   * @returns the rows that have to go the usual ways; all others were written.
   * @throws CopyRefused for the one row that is to blame; other errors when it cannot be told. Nothing was written then.
   */
  async write(
    definition: ReplicaDefinition,
    rows: readonly CopyRow[],
    within?: EntityManager,
  ): Promise<readonly CopyRow[]> {
    const seen = this.#of(definition);
    const look = seen.looking > 0;
    if (look) seen.looking--;
    const left = await this.#write(definition, rows, { within, look }).catch((error: unknown) => {
      if (look || !isDuplicate(error)) throw error;
      seen.looking = LOOKING_BATCHES;
      return this.#write(definition, rows, { within, look: true });
    });
    const lossy = rows.filter((row) => row.lossy !== undefined && !left.includes(row));
    for (const row of lossy) this.parts.lossy.report(definition, row);
    return left;
  }

  async #write(
    definition: ReplicaDefinition,
    rows: readonly CopyRow[],
    { within, look }: { readonly within: EntityManager | undefined; readonly look: boolean },
  ): Promise<readonly CopyRow[]> {
    const { em, events } = this.parts;
    const limits = new TimeLimits(this.parts, !within);
    const left = await inSavepointOf(within ?? em.fork(), async (inner) => {
      const session = new SqlSession(inner, !within);
      if (!session.canCopy) this.#of(definition).fits = false;
      if (this.#of(definition).fits === false) return rows;
      if (!hasPlainKeys(definition)) await this.#askForKeys(session, definition, rows);
      await limits.lock(session, locksOf(definition, rows), { steady: !within });
      const others = await limits.watch('writing', definition, this.#writeFresh(session, definition, rows, look));
      await failPoint(events, 'replica.before-commit');
      return others;
    });
    await failPoint(events, 'replica.after-commit');
    return left;
  }

  async #askForKeys(session: SqlSession, definition: ReplicaDefinition, rows: readonly CopyRow[]): Promise<void> {
    const holders = rows.map((row) => ({ key: keyOf(row) }));
    await askForKeys(session, definition, holders);
    for (const [index, { key }] of holders.entries()) rows[index]!.key = key.text;
  }

  /** @returns those that are not. */
  async #writeFresh(
    session: SqlSession,
    definition: ReplicaDefinition,
    rows: readonly CopyRow[],
    look: boolean,
  ): Promise<readonly CopyRow[]> {
    const seen = this.#of(definition);
    seen.fits ??= await this.#ask(session, fitsCopy(definition));
    if (!seen.fits) return rows;
    const alone = rowsAlone(rows);
    const known = await this.#known(session, definition, alone, look);
    if (known.size > alone.length / 2) seen.wary = WARY_BATCHES;
    const fresh = known.size === 0 ? alone : alone.filter(({ key }) => !known.has(key));
    if (fresh.length === 0) return rows;
    await this.#copy(session, definition, fresh);
    if (fresh.length === rows.length) return [];
    const done = new Set(fresh);
    return rows.filter((row) => !done.has(row));
  }

  /** Those of which something is known, as far as it was looked for. */
  async #known(
    session: SqlSession,
    definition: ReplicaDefinition,
    rows: readonly CopyRow[],
    look: boolean,
  ): Promise<ReadonlySet<string>> {
    const { tombstones } = this.parts;
    if (!look && !(await this.#ask(session, anyTombstone(definition, tombstones)))) return new Set();
    const answer = await session.run(knownKeys(definition, rows.map(keyOf), tombstones));
    return new Set(answer.map((row) => row['key']!));
  }

  async #copy(session: SqlSession, definition: ReplicaDefinition, fresh: readonly CopyRow[]): Promise<void> {
    const lines = fresh.map(({ line }) => line);
    try {
      const [answer] = await session.run(copyRows(definition, fresh[0]!.columns, lines));
      if (Number(answer?.['count']) !== lines.length) throw new Error('A trigger has kept rows back.');
    } catch (error) {
      const line = error instanceof DatabaseError ? error.copyLine : undefined;
      const culprit = line === undefined ? undefined : fresh[line - 1];
      if (culprit) throw new CopyRefused(culprit, { cause: error });
      this.#of(definition).wary = WARY_AFTER_FAILURE;
      throw error;
    }
  }

  async #ask(session: SqlSession, statement: Statement): Promise<boolean> {
    const [answer] = await session.run(statement);
    return answer!['is'] === 'true';
  }

  #of(definition: ReplicaDefinition): Seen {
    const known = this.#seen.get(definition);
    if (known) return known;
    const seen: Seen = { wary: 0, looking: 1 };
    this.#seen.set(definition, seen);
    return seen;
  }
}

/** A row that COPY has stumbled over: its values do not fit, or a worker has written its key meanwhile. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';

  constructor(
    readonly row: CopyRow,
    options: ErrorOptions,
  ) {
    super('COPY refuses a row.', options);
  }
}

const WARY_BATCHES = 20;
const WARY_AFTER_FAILURE = 5;
const LOOKING_BATCHES = 20;
const UNIQUE_VIOLATION = '23505';

function isDuplicate(error: unknown): boolean {
  return sqlState(error) === UNIQUE_VIOLATION;
}

function locksOf({ cqrsId }: ReplicaDefinition, rows: readonly CopyRow[]): KeyLocks {
  const locks = new KeyLocks();
  for (const { key } of rows) locks.add(cqrsId, key, 'shared');
  return locks;
}

function keyOf({ key }: CopyRow): RowKey {
  return readRowKey(key);
}

/** Those with a key and a set of columns that need no rule but "nothing is there", in the order in which all write. */
function rowsAlone(rows: readonly CopyRow[]): CopyRow[] {
  const { columns } = rows[0]!;
  const sorted = rows.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return sorted.filter(
    (row, at) => row.columns === columns && row.key !== sorted[at - 1]?.key && row.key !== sorted[at + 1]?.key,
  );
}
