import { setTimeout } from 'node:timers/promises';
import { type EntityManager, IsolationLevel } from '@mikro-orm/core';
import { despiteConflicts, isConflict } from '../postgres/conflicts.js';
import { describeError } from '../kernel/describe-error.js';
import { InputError, InvalidPayloadError } from '../kernel/errors.js';
import type { ExactTexts } from '../wire/exact-texts.js';
import { isTexts, SignalType, TransportPayload } from '../wire/payload.js';
import { parseJson, type WireObject, type WireValue } from '../wire/values.js';
import type { Cqrs } from '../cqrs.js';
import { faultOf } from '../messaging/inbox/faults.js';
import type { Outcome, Received } from '../messaging/inbox/handler.js';
import { type CopyPath, CopyRefused, type CopyRow } from '../replication/replica/rows/copy-path.js';
import { mapKey } from '../replication/replica/definition/field-mapping.js';
import type { ReplicaDefinition } from '../replication/replica/definition/replica-definition.js';
import { readRowKey } from '../replication/replica/definition/row-keys.js';
import { type Line, splitHeader } from './lines.js';
import { replicaTable } from './keyed-table.js';
import { type Kept, TableSwap } from './table-swap.js';

export interface LoadResult {
  /** Rows that were written. */
  readonly loaded: number;
  /** Rows left as they are, since the table has the same or a newer state, or has deleted them since. */
  readonly kept: number;
  /** Lines that could not be loaded. With `clear`, one of them is enough for nothing to be changed at all. */
  readonly failed: number;
  /** With `clear`: rows removed since the dump does not have them. */
  readonly removed: number;
  /** With `clear`: rows that the dump does not have, and that are newer than all of it. */
  readonly newer: number;
  /** Whether it was stopped before the end. With `clear`, nothing is changed then. */
  readonly stopped: boolean;
}

interface LoadOptions {
  /** Rows a transaction; default 5000, fewer where they are long, 1000 through hooks. */
  readonly batchSize?: number | undefined;
  /** Also remove what the dump does not have, all in one transaction: readers see the old table, then the new one. */
  readonly clear?: boolean | undefined;
  readonly onFailure?: (line: number, reason: string) => void;
  readonly onProgress?: (lines: number) => void;
  readonly signal?: AbortSignal;
}

/** A line that could be read: as COPY writes it, where it can, or as the usual ways take it. */
class Row {
  constructor(
    readonly line: Line,
    readonly copy: CopyRow | undefined,
    readonly received: Received | undefined,
  ) {}
}

interface ReceivedRow {
  readonly line: Line;
  readonly received: Received;
}

/** So many rows that COPY stumbles over are taken out of a batch, one after the other. */
const MOST_REFUSED = 3;
/**
 * The locks of a swap are given up after so long, and asked for again: all workers wait meanwhile. At first that is less
 * than PostgreSQL takes to look for deadlocks, so that nobody else becomes the victim of one.
 */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const BATCH_SIZE = 5_000;
/** Hooks take their time, and workers wait for their keys. */
const HOOKS_BATCH_SIZE = 1_000;
/** A batch of long rows ends earlier: three of them are in memory at a time. */
const MOST_CHARACTERS = 4_000_000;

/**
 * Loads a dump into a replica, by the rules of live messages: no newer row is written over, and no row that was deleted
 * since comes back. Running it again does no harm. A line that cannot be loaded costs no other line.
 * @throws UnknownCqrsIdError, InputError for an empty input, and errors of a database that is away.
 */
export async function loadRows(
  cqrs: Cqrs,
  source: AsyncIterable<Uint8Array>,
  options: LoadOptions = {},
): Promise<LoadResult> {
  const { header, groups } = await splitHeader(source);
  const table = replicaTable(cqrs, header);
  if (!options.clear) return new Load(cqrs, header, options).run(groups);
  const swap = new TableSwap(table, cqrs.replicas.get(header));
  const load = new Load(cqrs, header, { ...options, swap });
  let waitMs = FIRST_WAIT_MS;
  const swapAll = (): Promise<LoadResult> =>
    cqrs.orm.em.fork().transactional(
      async (em) => {
        try {
          await swap.begin(em, Math.min(waitMs, LONGEST_WAIT_MS));
        } catch (error) {
          throw isConflict(error) ? new TableHeld(error) : error;
        }
        const result = await load.run(groups, em);
        if (result.failed > 0 || result.stopped) throw new NothingChanged(result);
        return { ...result, ...(await swap.finish(em)) };
      },
      { isolationLevel: IsolationLevel.READ_COMMITTED },
    );
  try {
    for (; ; waitMs *= 2) {
      try {
        return await swapAll();
      } catch (error) {
        if (!(error instanceof TableHeld)) throw error;
        if (options.signal?.aborted) return NOTHING_DONE;
        await setTimeout(Math.random() * Math.min(waitMs, LONGEST_WAIT_MS));
      }
    }
  } catch (error) {
    if (error instanceof NothingChanged) return error.result;
    throw error;
  }
}

const NOTHING_DONE: LoadResult = { loaded: 0, kept: 0, failed: 0, removed: 0, newer: 0, stopped: true };

/** The table is being written, by a transaction that may wait for us in turn: nothing of the dump has been read yet. */
class TableHeld extends Error {
  constructor(cause: unknown) {
    super('the table is being written', { cause });
  }
}

class NothingChanged extends Error {
  constructor(found: LoadResult) {
    super('a line could not be loaded');
    this.result = { ...found, loaded: 0, kept: 0 };
  }
  readonly result: LoadResult;
}

class Load {
  readonly #definition: ReplicaDefinition;
  #loaded = 0;
  #kept = 0;
  #failed = 0;
  /** How long the lines of the batch are that is being read. */
  #characters = 0;

  constructor(
    private readonly cqrs: Cqrs,
    private readonly cqrsId: string,
    private readonly options: LoadOptions & { readonly swap?: TableSwap },
  ) {
    this.#definition = cqrs.replicas.get(cqrsId);
  }

  async run(groups: AsyncIterable<readonly Line[]>, within?: EntityManager): Promise<LoadResult> {
    const { signal, onProgress } = this.options;
    const batchSize = this.options.batchSize ?? (this.#definition.path === 'rows' ? BATCH_SIZE : HOOKS_BATCH_SIZE);
    await this.#copying.prepare(within);
    let copying = this.#copying.isWorthwhile(this.#definition);
    let batch: Row[] = [];
    let count = 0;
    // While the database works on one batch and the next one waits for it, the one after that is read.
    let working: Promise<void> = Promise.resolve();
    let waiting: Promise<void> = Promise.resolve();
    const flush = async (): Promise<void> => {
      await working;
      working = waiting;
      const lines = count;
      waiting = this.#write(batch, within, working).then(() => onProgress?.(lines));
      waiting.catch(() => {}); // it is awaited below
      batch = [];
      this.#characters = 0;
      copying = this.#copying.isWorthwhile(this.#definition);
    };
    try {
      for await (const lines of groups) {
        for (const line of lines) {
          if (signal?.aborted) break;
          const row = this.#read(line, copying);
          if (row) batch.push(row);
          count++;
          if (batch.length >= batchSize || this.#characters >= MOST_CHARACTERS) await flush();
        }
        if (signal?.aborted) break;
      }
      await flush();
    } finally {
      await waiting; // nothing is left behind in a transaction that ends
    }
    const stopped = signal?.aborted === true;
    return { loaded: this.#loaded, kept: this.#kept, failed: this.#failed, removed: 0, newer: 0, stopped };
  }

  /** The row of a line, or undefined for an empty line and one that was reported. */
  #read(line: Line, copying: boolean): Row | undefined {
    try {
      const text = line.text();
      if (text === '') return undefined;
      this.#characters += text.length;
      const data = parseLine(text);
      const copy = copying ? this.#copying.read(this.#definition, data, besides(data)) : undefined;
      return new Row(line, copy, copy ? undefined : this.#receive(data));
    } catch (error) {
      this.#fail(line.number, reasonOf(error));
      return undefined;
    }
  }

  #receive(data: WireObject): Received {
    const { incarnation, texts } = besides(data);
    // Our dumps have them last, where they go without a copy of the row.
    delete data['cqrs_texts'];
    delete data['cqrs_incarnation'];
    const payload = new TransportPayload({
      // Who clears wants damage of an equal revision repaired, too.
      signalType: this.options.clear ? SignalType.SYNC : SignalType.SAVE,
      cqrsId: this.cqrsId,
      instanceData: data,
      incarnation,
      texts,
    });
    void payload.version; // what has none ends here, not deep in the applier
    return { payload, committedAt: null, direct: true, expired: false };
  }

  get #copying(): CopyPath {
    return this.cqrs.replicaRuntime.copying;
  }

  /** Writes a batch as it was read: by COPY what is new and can be, all other rows the usual ways. */
  async #write(batch: readonly Row[], within: EntityManager | undefined, before: Promise<void>): Promise<void> {
    await before;
    const left = await this.#copy(batch, within);
    await this.#apply(left.map(this.#received), within);
  }

  readonly #received = ({ line, received }: Row): ReceivedRow => ({
    line,
    received: received ?? this.#receive(parseLine(line.text())),
  });

  /** @returns the rows that were not written. */
  async #copy(batch: readonly Row[], within: EntityManager | undefined): Promise<readonly Row[]> {
    let rows = batch;
    for (let refused = 0; refused < MOST_REFUSED; refused++) {
      const copies = rows.flatMap(({ copy }) => copy ?? []);
      if (copies.length < 2) break;
      try {
        const others = new Set(await this.#copying.write(this.#definition, copies, within));
        const written = others.size === 0 ? copies : copies.filter((copy) => !others.has(copy));
        this.#loaded += written.length;
        const kept = within ? written.map(({ key, updated }): Kept => ({ key: readRowKey(key).parts, updated })) : [];
        if (within) await this.options.swap?.keep(within, kept);
        return rows.filter(({ copy }) => !copy || others.has(copy));
      } catch (error) {
        if (faultOf(error) === 'unavailable') throw error instanceof CopyRefused ? error.cause : error;
        // Nothing of the batch is there. The usual way tells what is wrong, and with whom.
        if (!(error instanceof CopyRefused)) break;
        const at = rows.findIndex(({ copy }) => copy === error.row);
        await this.#apply([this.#received(rows[at]!)], within);
        rows = rows.toSpliced(at, 1);
      }
    }
    return rows;
  }

  /** Loads as many of the rows as can be: a batch that fails is halved until the bad row stands alone. */
  async #apply(rows: readonly ReceivedRow[], within: EntityManager | undefined): Promise<void> {
    if (rows.length === 0) return;
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#handle(rows, within);
    } catch (error) {
      if (faultOf(error) === 'unavailable' || faultOf(error) === 'conflict') throw error;
      if (rows.length === 1) return this.#fail(rows[0]!.line.number, describeError(error));
      const middle = Math.ceil(rows.length / 2);
      await this.#apply(rows.slice(0, middle), within);
      return this.#apply(rows.slice(middle), within);
    }
    return this.#settle(rows, outcomes, within);
  }

  async #settle(
    rows: readonly ReceivedRow[],
    outcomes: readonly Outcome[],
    within: EntityManager | undefined,
  ): Promise<void> {
    const anyFailed = outcomes.some(({ kind }) => kind === 'failed' || kind === 'dead-letter');
    // Passed over for a newer line of the same key, which may be the one that failed.
    const again: ReceivedRow[] = [];
    const there: Kept[] = [];
    for (const [index, row] of rows.entries()) {
      const outcome = outcomes[index]!;
      if (anyFailed && isSuperseded(outcome)) {
        again.push(row);
        continue;
      }
      this.#count(row, outcome);
      if (outcome.kind !== 'applied' && outcome.kind !== 'skipped') continue;
      const { payload } = row.received;
      if (within) there.push({ key: mapKey(this.#definition, payload), updated: payload.version.updated });
    }
    if (within) await this.options.swap?.keep(within, there);
    await this.#apply(again, within);
  }

  async #handle(rows: readonly ReceivedRow[], within: EntityManager | undefined): Promise<readonly Outcome[]> {
    const batch = rows.map(({ received }) => received);
    // A conflict has taken nothing but this batch back, which is a savepoint where it stands in a greater transaction.
    return despiteConflicts(() => this.cqrs.replicaRuntime.handle(batch, { anyAge: true, within }));
  }

  #count({ line }: ReceivedRow, outcome: Outcome): void {
    if (outcome.kind === 'applied') this.#loaded++;
    else if (outcome.kind === 'skipped') this.#kept++;
    else if (outcome.kind === 'failed' && outcome.reason === 'foreign-key') {
      this.#fail(line.number, `the row it refers to is not there (${describeError(outcome.error)})`);
    } else this.#fail(line.number, outcome.error ? describeError(outcome.error) : (outcome.reason ?? outcome.kind));
  }

  #fail(line: number, reason: string): void {
    this.#failed++;
    this.options.onFailure?.(line, reason);
  }
}

function parseLine(text: string): WireObject {
  let value: WireValue;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new InputError('it is not JSON.', '', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || JSON.isRawJSON(value)) {
    throw new InputError('it is no JSON object.');
  }
  return value;
}

/** What our dumps have beside the instance data. */
function besides(data: WireObject): { incarnation: number | null; texts: ExactTexts | null } {
  const { cqrs_incarnation: incarnation, cqrs_texts: texts } = data;
  return { incarnation: typeof incarnation === 'number' ? incarnation : null, texts: isTexts(texts) ? texts : null };
}

function isSuperseded(outcome: Outcome): boolean {
  return outcome.kind === 'skipped' && outcome.reason === 'superseded';
}

function reasonOf(error: unknown): string {
  if (error instanceof InvalidPayloadError)
    return error.message.replace(/^The message is not a valid payload: (.*)\. Correct its sender\.$/, '$1.');
  return error instanceof InputError ? error.message : describeError(error);
}
