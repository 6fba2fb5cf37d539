import { type EntityManager, IsolationLevel } from '@mikro-orm/core';
import { describeError, sqlState, toError } from '../../kernel/describe-error.js';
import { ConfigurationError, MappingError } from '../../kernel/errors.js';
import { failPoint } from '../../kernel/fail-points.js';
import { SignalType, TransportPayload } from '../../wire/payload.js';
import type { WireObject } from '../../wire/values.js';
import type { Handler, Outcome, Received, RetryRules } from '../../messaging/inbox/handler.js';
import { Batch, type BatchParts, type Conclude, HOOKS_AT_ONCE, type Straight } from './batch.js';
import type { ByHand } from './by-hand.js';
import { applyCyclic } from './rows/cyclic-batch.js';
import { type CyclicReferences, isViolated, type KnownCycles } from './table/cyclic-references.js';
import { classifyDatabaseError, endsTransaction, withoutValues } from './rows/database-errors.js';
import { mapKey } from './definition/field-mapping.js';
import { CopyPath } from './rows/copy-path.js';
import { callSave } from './hooks/hook-path.js';
import { KeyLocks } from './key-locks.js';
import type { KnownTables } from './table/known-tables.js';
import { LOSSY_VALUE, LossyValues } from './table/lossy-values.js';
import { isOutcome, prepare, type Prepared } from './prepare.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';
import type { ReplicaRuntime } from './definition/replica-entity.js';
import { askForKeys, normalizeKey } from './definition/row-keys.js';
import { SUPPRESSED } from './rows/row-path.js';
import { SenderTimes } from './sender-times.js';
import { inSavepointOf, SqlSession } from './rows/sql-session.js';
import { readStates } from './rows/stored-states.js';
import { StraightPath } from './rows/straight-path.js';

export interface ApplierParts extends Omit<BatchParts, 'straight' | 'times' | 'lossy' | 'readsOthers' | 'committed'> {
  readonly tables: KnownTables;
  readonly cycles: CyclicReferences;
  /** Any EntityManager of the service; it is forked for every batch. */
  readonly em: EntityManager;
}

interface Attempt {
  readonly within: EntityManager | undefined;
  readonly dryRun: boolean;
}

interface HandleOptions {
  readonly anyAge?: boolean;
  readonly within?: EntityManager | undefined;
  readonly dryRun?: boolean;
}

/**
 * Applies messages to the replicas' tables.
 *
 *   map ─▶ begin ─▶ lock the keys ─▶ read what is stored ─▶ decide ─▶ write, parents first ─▶ delete, children first ─▶ commit
 *
 * One transaction a batch, or two: where nothing calls for a look at what is stored the statements travel with their
 * COMMIT, and what they refuse is looked at in a second one. Entities whose class overrides nothing are written set by set,
 * one statement for all new and changed rows of an entity; the others message by message through the methods of their class,
 * and what fails takes nothing with it.
 * SAVE and SYNC share their keys with other writers, and a guard in the statement keeps the newer row; DELETE and hooks
 * hold their keys alone, hooks nothing but their keys: they may take their time, and other workers work beside them.
 */
export class Applier implements Handler, ReplicaRuntime {
  /** The way of a bulk load. */
  readonly copying: CopyPath;
  private readonly parts: ApplierParts & BatchParts;

  constructor(parts: ApplierParts) {
    const { tombstones, tables } = parts;
    const lossy = new LossyValues(parts);
    const times = new SenderTimes(parts.settings.replica.senderTimezone, parts.events);
    this.parts = {
      ...parts,
      times,
      lossy,
      straight: new StraightPath(tombstones, (definition) => tables.of(definition)?.found.kind === PARTITIONED),
      readsOthers: new WeakSet(),
      committed: new WeakMap(),
    };
    this.copying = new CopyPath({ ...parts, times, lossy });
  }

  get cqrsIds(): readonly string[] {
    return this.parts.replicas.ids;
  }

  atOnce(cqrsId: string): number {
    return this.parts.replicas.get(cqrsId).path === 'hooks' ? HOOKS_AT_ONCE : Infinity;
  }

  retryRules(cqrsId: string): RetryRules | undefined {
    const { shouldRetryCqrs, getCqrsRetryDelay } = this.parts.replicas.get(cqrsId).statics;
    if (!shouldRetryCqrs && !getCqrsRetryDelay) return undefined;
    const owner = this.parts.replicas.get(cqrsId).entity;
    return { shouldRetryCqrs: shouldRetryCqrs?.bind(owner), getCqrsRetryDelay: getCqrsRetryDelay?.bind(owner) };
  }

  /**
   * @param options.anyAge also create rows from messages older than tombstones are kept, as a bulk load does.
   * @param options.within an EntityManager whose open transaction takes the batch in, in a savepoint, instead of one of
   *   its own; the batch is durable when that one is.
   * @param options.dryRun take everything back and answer what would have become of it. Replicas without database
   *   operations are not called. What hooks do outside of the database does happen.
   * @see Handler.handle
   */
  async handle(
    batch: readonly Received[],
    { anyAge = false, within, dryRun = false }: HandleOptions = {},
  ): Promise<readonly Outcome[]> {
    // Who loads rows, or tries them out, has nothing else to do meanwhile.
    const keyWaitMs = within || dryRun || anyAge ? undefined : this.parts.settings.replica.keyWaitSeconds * 1_000;
    await this.parts.tables.load(within ?? this.parts.em.fork());
    const work = new Batch(this.parts, batch, { anyAge, bySave: true, ownTransaction: !within, keyWaitMs });
    const stored = work.prepared.filter(({ definition }) => definition.path !== 'none');
    if (stored.length > 0) {
      let straight: Straight = within || dryRun ? 'at-once' : 'with-commit';
      let open: readonly Prepared[] = stored;
      try {
        while (open.length > 0) {
          const attempt = this.#attempt(work, open, { within, dryRun, straight });
          const conclude = await attempt.catch(async (error: unknown): Promise<Conclude> => {
            if (sqlState(error) !== LOCK_NOT_AVAILABLE || keyWaitMs === undefined)
              return this.#attemptCyclic(work, open, { within, dryRun, error });
            const others = await this.#withoutHeld(work, { error, open, keyWaitMs });
            return () => others;
          });
          await failPoint(this.parts.events, 'replica.after-commit');
          open = conclude();
          straight = 'no';
        }
        await this.#tryHooksAgain(work, stored, within);
      } catch (thrown) {
        // A COMMIT brings errors of its own.
        const error = withoutValues(thrown);
        const [only, ...others] = stored;
        const outcome = others.length === 0 ? certainOutcome(error, only!.definition) : undefined;
        if (outcome) work.settle(only!, outcome);
        else if (!(error instanceof TakenBack)) {
          if (open !== stored) this.#remember(work, stored, open);
          work.reportDoubts(open);
          throw error;
        }
      }
    }
    work.reportDoubts();
    if (!dryRun) this.#reportLossy(work);
    // Last: they cannot be taken back when the transaction fails.
    for (const message of work.prepared.filter(({ definition }) => definition.path === 'none')) {
      if (dryRun) work.settle(message, { kind: 'skipped', reason: 'no-database' });
      else await this.#callBare(work, message);
    }
    return work.outcomes as Outcome[];
  }

  #attempt(
    work: Batch,
    open: readonly Prepared[],
    { within, dryRun, straight, cycles }: Attempt & { straight: Straight; cycles?: KnownCycles },
  ): Promise<Conclude> {
    return inSavepointOf(within ?? this.parts.em.fork(), async (em) => {
      const concluding = cycles
        ? await applyCyclic(em, work, open, { ...this.parts, cycles })
        : await work.apply(em, open, straight);
      if (dryRun) await takeBack(em);
      await failPoint(this.parts.events, 'replica.before-commit');
      return concluding;
    });
  }

  /** Where it is rows that refer to each other that hold up the messages. @throws the error where it is not, or in vain */
  async #attemptCyclic(
    work: Batch,
    open: readonly Prepared[],
    { error, within, dryRun }: Attempt & { error: unknown },
  ): Promise<Conclude> {
    const cycles = await this.parts.cycles.violated(within ?? this.parts.em.fork(), [error]);
    if (!cycles) throw error;
    try {
      return await this.#attempt(work, open, { within, dryRun, straight: 'no', cycles });
    } catch (other) {
      throw other instanceof TakenBack || endsTransaction(other) ? other : error;
    }
  }

  /** The same for messages of hooks, which fail one by one without harm to the others. */
  async #tryHooksAgain(work: Batch, messages: readonly Prepared[], within: EntityManager | undefined): Promise<void> {
    const failed = messages.flatMap((message) => {
      const outcome = work.outcomes[message.index];
      return message.definition.path === 'hooks' && outcome?.kind === 'failed' ? [{ message, outcome }] : [];
    });
    const errors = failed.map(({ outcome }) => outcome.error);
    const cycles = await this.parts.cycles.violated(within ?? this.parts.em.fork(), errors);
    if (!cycles) return;
    const held = failed.filter(({ outcome }) => isViolated(cycles, outcome.error));
    const open = held.map(({ message }) => message);
    try {
      await this.#attempt(work, open, { within, dryRun: false, straight: 'no', cycles });
    } catch (error) {
      if (!endsTransaction(error)) {
        for (const { message, outcome } of held) work.settle(message, outcome);
        return;
      }
      this.#remember(work, messages, open);
      throw error;
    }
  }

  /**
   * Why a message would not be stored as it is: the reason for which it would be skipped or become a dead letter, or that a
   * column rounds or cuts a value; null where it would be, or would be tried again. Nothing is changed.
   * @param within an EntityManager whose transaction is open.
   */
  async whyNot(received: Received, within: EntityManager): Promise<string | null> {
    const [outcome] = await this.handle([received], { within, dryRun: true });
    if (outcome === undefined || outcome.kind === 'failed') return null;
    if (outcome.kind !== 'applied') return outcome.reason;
    const options = { now: Date.now() * 1_000, retention: Infinity, bySave: false };
    const prepared = prepare(received, 0, this.parts.replicas, { ...this.parts, ...options });
    return !isOutcome(prepared) && prepared.row?.lossy ? LOSSY_VALUE : null;
  }

  /** The messages whose keys nobody else keeps, where an error is that of waiting for keys in vain. */
  async #withoutHeld(
    work: Batch,
    { error, open, keyWaitMs }: { error: unknown; open: readonly Prepared[]; keyWaitMs: number },
  ): Promise<readonly Prepared[]> {
    const others = await this.parts.em.fork().transactional((em) => work.putAside(em, open, keyWaitMs));
    // All of them: it was another lock, or the holder has gone; the consumer tries again.
    if (others.length === open.length) throw error;
    return others;
  }

  async applyByHand(entity: Function, em: EntityManager, masterData: WireObject, how: ByHand): Promise<Outcome> {
    const definition = this.#definitionOf(entity);
    const { signalType, previousData, meta, incarnation, texts } = how;
    const payload = new TransportPayload({
      signalType,
      cqrsId: definition.cqrsId,
      instanceData: masterData,
      previousData,
      meta,
      incarnation,
      texts,
    });
    const received: Received = { payload, committedAt: null, direct: true, expired: false };
    if (definition.path === 'none') {
      if (signalType === 'DELETE' || how.row || definition.overrides.has('cqrsSave')) throw withoutTable(definition);
      return callSave(definition, em, received);
    }
    const ownTransaction = !em.isInTransaction();
    await this.parts.tables.load(em);
    const work = new Batch(this.parts, [received], { anyAge: true, bySave: false, ownTransaction });
    const [prepared] = work.prepared;
    if (prepared) {
      await inTransaction(em, async (inner) => {
        const unfit = how.row && (await this.#unfit(inner, prepared, how.row));
        if (unfit) work.settle(prepared, { kind: 'skipped', reason: unfit });
        else await work.apply(inner, [prepared], 'at-once');
      });
    }
    work.reportDoubts();
    this.#reportLossy(work);
    const [outcome] = work.outcomes;
    if (outcome && 'error' in outcome && outcome.error) throw outcome.error;
    return outcome!;
  }

  async remove(entity: Function, em: EntityManager, masterData: Readonly<WireObject>): Promise<void> {
    const definition = this.#definitionOf(entity);
    const { table } = definition;
    if (!table) throw withoutTable(definition);
    const payload = new TransportPayload({
      signalType: SignalType.DELETE,
      cqrsId: definition.cqrsId,
      instanceData: masterData,
    });
    const key = normalizeKey(definition, mapKey(definition, payload));
    await inTransaction(em, (inner) => new SqlSession(inner).run(table.deleteRows([key])));
  }

  #reportLossy(work: Batch): void {
    for (const { row, definition, index } of work.prepared) {
      if (row?.lossy && work.outcomes[index]?.kind === 'applied') this.parts.lossy.report(definition, row);
    }
  }

  /** Whether the row that must (not) be there is, from now to the end of the transaction. */
  async #unfit(em: EntityManager, message: Prepared, row: ByHand['row']): Promise<string | undefined> {
    const { definition } = message;
    const session = new SqlSession(em);
    await askForKeys(session, definition, [message]);
    const { key } = message;
    const locks = new KeyLocks();
    locks.add(definition.cqrsId, key.text, 'alone');
    await session.hold(locks.statement());
    const states = await readStates(session, definition, [key], this.parts.tombstones);
    const exists = states.get(key.text)!.kind === 'row';
    if (exists) return row === 'absent' ? 'exists' : undefined;
    return row === 'present' ? 'absent' : undefined;
  }

  /** Whoever hands the batch in again, or a part of it, is told what is done already. */
  #remember(work: Batch, stored: readonly Prepared[], open: readonly Prepared[]): void {
    const left = new Set(open);
    for (const message of stored) {
      if (!left.has(message)) this.parts.committed.set(message.received, work.outcomes[message.index]!);
    }
  }

  #definitionOf(entity: Function): ReplicaDefinition {
    const definition = this.parts.replicas.byEntity(entity);
    if (!definition) throw new MappingError(entity.name, 'its class is no replica of this service');
    return definition;
  }

  async #callBare(work: Batch, message: Prepared): Promise<void> {
    const { definition, received } = message;
    const { payload } = received;
    const em = this.parts.em.fork();
    try {
      if (message.bySave) {
        work.settle(message, await callSave(definition, em, received));
      } else {
        const meta = definition.statics.CQRS_META ? payload.meta : undefined;
        if (definition.overrides.has('cqrsDelete'))
          await definition.statics.cqrsDelete(em, { masterData: payload.instanceData, meta, replaced: false });
        work.settle(message, { kind: 'applied', action: 'delete', version: payload.version });
      }
    } catch (error) {
      work.settle(message, { kind: 'failed', error: toError(error) });
    }
  }
}

function withoutTable({ meta }: ReplicaDefinition): ConfigurationError {
  const cure = 'Do not call the inherited method of a replica with CQRS_NO_DB_OPERATIONS.';
  return new ConfigurationError([{ where: meta.className, what: 'has no table to write to.', cure }]);
}

/** How a message ends that failed alone, where the database's error leaves no doubt. */
function certainOutcome(error: unknown, { cqrsId, path }: ReplicaDefinition): Outcome | undefined {
  const fault = classifyDatabaseError(error);
  if (fault === 'foreign-key-missing') {
    return { kind: 'failed', error: toError(withoutValues(error)), reason: 'foreign-key' };
  }
  if (fault === 'kept-back') return SUPPRESSED;
  if (fault !== 'bad-data' || path !== 'rows') return undefined;
  // Not as its cause: PostgreSQL quotes the value.
  const refused = new MappingError(cqrsId, `the database refuses its values (${describeError(error)})`);
  return { kind: 'dead-letter', reason: refused.code, error: refused };
}

/** A table's `relkind`. */
const PARTITIONED = 'p';

/** What a wait for a lock ends with at `lock_timeout`. */
const LOCK_NOT_AVAILABLE = '55P03';

/** Ends a dry run. */
class TakenBack extends Error {}

async function takeBack(em: EntityManager): Promise<never> {
  await new SqlSession(em).run({ text: 'set constraints all immediate', parameters: [] });
  throw new TakenBack('dry run');
}

function inTransaction<T>(em: EntityManager, work: (em: EntityManager) => Promise<T>): Promise<T> {
  if (em.isInTransaction()) return work(em);
  return em.transactional(work, { isolationLevel: IsolationLevel.READ_COMMITTED });
}
