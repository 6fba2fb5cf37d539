import { type EntityManager, IsolationLevel } from '@mikro-orm/core';
import { describeError, toError } from '../core/describe-error.js';
import { MappingError } from '../core/errors.js';
import type { Events } from '../core/events.js';
import { SignalType, TransportPayload } from '../core/payload.js';
import { type Registry } from '../core/registry.js';
import type { Settings } from '../core/settings.js';
import { stringifyJson, type WireObject } from '../core/wire-values.js';
import type { Handler, Outcome, Received, RetryRules } from '../inbox/handler.js';
import { classifyDatabaseError, withoutValues } from './database-errors.js';
import { mapKey } from './field-mapping.js';
import { callSave, HookPath, inVersionOrder } from './hook-path.js';
import { lockKeys } from './key-locks.js';
import { isOutcome, prepare, type Prepared } from './prepare.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { ReplicaRuntime } from './replica-entity.js';
import type { SaveContext } from './replica-hooks.js';
import type { RuleOptions } from './revision-rules.js';
import { askForKeys, normalizeKey } from './row-keys.js';
import { planRows, type RowPlan, writeRows } from './row-path.js';
import { SqlSession } from './sql-session.js';
import { readStates } from './stored-states.js';
import { bury } from './tombstones.js';

export interface ApplierParts {
  /** Any EntityManager of the service; it is forked for every batch. */
  readonly em: EntityManager;
  readonly replicas: Registry<ReplicaDefinition>;
  readonly settings: Settings;
  readonly events: Events;
  /** The quoted table of `Tombstone`. */
  readonly tombstones: string;
}

/**
 * Applies messages to the replicas' tables.
 *
 *   map ─▶ begin ─▶ lock the keys ─▶ read what is stored ─▶ decide ─▶ write, parents first ─▶ delete, children first ─▶ commit
 *
 * One transaction a batch. Entities whose class overrides nothing are written set by set, one statement for all new
 * and changed rows of an entity; the others message by message through the methods of their class, each in a savepoint.
 * SAVE and SYNC share their keys with other writers, and a guard in the statement keeps the newer row; DELETE and hooks
 * hold their keys alone.
 */
export class Applier implements Handler, ReplicaRuntime {
  constructor(private readonly parts: ApplierParts) {}

  get cqrsIds(): readonly string[] {
    return this.parts.replicas.ids;
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
   * @param options.rehearse take everything back and answer what would have become of it. Replicas without database
   *   operations are not called. What hooks do outside of the database does happen.
   * @see Handler.handle
   */
  async handle(
    batch: readonly Received[],
    { anyAge = false, within, rehearse = false }: { anyAge?: boolean; within?: EntityManager; rehearse?: boolean } = {},
  ): Promise<readonly Outcome[]> {
    const work = new Batch(this.parts, batch, { anyAge, bySave: true });
    const stored = work.prepared.filter(({ definition }) => definition.path !== 'none');
    if (stored.length > 0) {
      try {
        await inSavepointOf(within ?? this.parts.em.fork(), async (em) => {
          await work.apply(em, stored);
          if (rehearse) await takeBack(em);
        });
      } catch (error) {
        const [only, ...others] = stored;
        const outcome = others.length === 0 ? certainOutcome(error, only!.definition) : undefined;
        if (outcome) work.settle(only!, outcome);
        else if (!(error instanceof TakenBack)) throw error;
      }
    }
    work.reportClocks();
    // Last: they cannot be taken back when the transaction fails.
    for (const message of work.prepared.filter(({ definition }) => definition.path === 'none')) {
      if (rehearse) work.settle(message, { kind: 'skipped', reason: 'no-database' });
      else await this.#callBare(work, message);
    }
    return work.outcomes as Outcome[];
  }

  async save(entity: Function, em: EntityManager, masterData: WireObject, context: SaveContext): Promise<Outcome> {
    const definition = this.#definitionOf(entity);
    const payload = new TransportPayload({
      signalType: context.sync ? SignalType.SYNC : SignalType.SAVE,
      cqrsId: definition.cqrsId,
      instanceData: masterData,
      previousData: context.previousData,
      meta: context.meta,
      incarnation: context.incarnation,
    });
    const received: Received = { payload, committedAt: null, direct: true, expired: false };
    const work = new Batch(this.parts, [received], { anyAge: true, bySave: false });
    if (work.prepared.length > 0) await inTransaction(em, (inner) => work.apply(inner, work.prepared));
    work.reportClocks();
    const [outcome] = work.outcomes;
    if (outcome && 'error' in outcome && outcome.error) throw outcome.error;
    return outcome!;
  }

  async remove(entity: Function, em: EntityManager, masterData: Readonly<WireObject>): Promise<void> {
    const definition = this.#definitionOf(entity);
    const payload = new TransportPayload({
      signalType: SignalType.DELETE,
      cqrsId: definition.cqrsId,
      instanceData: masterData,
    });
    const key = normalizeKey(definition, mapKey(definition, payload));
    await inTransaction(em, (inner) => new SqlSession(inner).run(definition.table!.deleteRows([key])));
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
          await definition.statics.cqrsDelete(em, { masterData: payload.instanceData, meta });
        work.settle(message, { kind: 'applied', action: 'delete', version: payload.version });
      }
    } catch (error) {
      work.settle(message, { kind: 'failed', error: toError(error) });
    }
  }
}

/** One batch on its way: who is settled how, and what is told once it is committed. */
class Batch {
  readonly prepared: Prepared[] = [];
  readonly outcomes: (Outcome | undefined)[];
  readonly #rules: RuleOptions;
  readonly #clocks = new Map<Prepared, number>();

  constructor(
    private readonly parts: ApplierParts,
    batch: readonly Received[],
    options: { anyAge: boolean; bySave: boolean },
  ) {
    const { clockSkewToleranceSeconds, syncDowngrade, tombstoneRetentionSeconds } = parts.settings.replica;
    const now = Date.now() * 1000;
    this.#rules = { now, tolerance: Math.round(clockSkewToleranceSeconds * 1_000_000), syncDowngrade };
    const retention = options.anyAge ? Infinity : tombstoneRetentionSeconds * 1_000_000;
    this.outcomes = batch.map((received, index) => {
      const result = prepare(received, index, parts.replicas, { now, retention, bySave: options.bySave });
      if (isOutcome(result)) return result;
      this.prepared.push(result);
      return undefined;
    });
  }

  settle(message: Prepared, outcome: Outcome): void {
    this.outcomes[message.index] = outcome;
  }

  async apply(em: EntityManager, messages: readonly Prepared[]): Promise<void> {
    const session = new SqlSession(em);
    this.#clocks.clear();
    const byDefinition = [...Map.groupBy(messages, (message) => message.definition)].toSorted(
      ([a], [b]) => a.order - b.order,
    );
    for (const [definition, group] of byDefinition) {
      const keys = await askForKeys(
        session,
        definition,
        group.map((message) => message.key.parts),
      );
      for (const [index, key] of keys.entries()) group[index]!.key = key;
    }
    await session.run(lockKeys(messages.map(toLock)));
    const plans: RowPlan[] = [];
    for (const [definition, group] of byDefinition) {
      if (definition.path === 'hooks') await this.#callHooks(em, session, definition, group);
      else plans.push(await this.#writeRows(session, definition, group));
    }
    for (const { definition, deletes, burials } of plans.toReversed()) {
      if (deletes.length > 0) await session.run(definition.table!.deleteRows(deletes.map((key) => key.parts)));
      if (burials.length > 0) await session.run(bury(this.parts.tombstones, definition.cqrsId, burials));
    }
  }

  /** Says which senders' clocks were not trusted. */
  reportClocks(): void {
    const queue = this.parts.settings.queue ?? '';
    for (const [{ received, definition }, aheadBy] of this.#clocks) {
      const { signalType, instancePk, retries } = received.payload;
      const pk = typeof instancePk === 'object' ? stringifyJson(instancePk) : String(instancePk);
      const fields = {
        queue,
        cqrsId: definition.cqrsId,
        signalType,
        instancePk: pk,
        retries,
        aheadMs: Math.round(aheadBy / 1000),
      };
      this.parts.events.emit('cqrs.replica.clock-distrusted', fields);
    }
  }

  async #writeRows(session: SqlSession, definition: ReplicaDefinition, group: readonly Prepared[]): Promise<RowPlan> {
    const states = await readStates(session, definition, distinctKeys(group), this.parts.tombstones);
    const settle = (message: Prepared, outcome: Outcome): void => this.settle(message, outcome);
    const plan = planRows(definition, group, states, {
      rules: this.#rules,
      settle,
      distrusted: (message, aheadBy) => void this.#clocks.set(message, aheadBy),
    });
    await writeRows(session, plan, this.#rules, settle);
    return plan;
  }

  async #callHooks(
    em: EntityManager,
    session: SqlSession,
    definition: ReplicaDefinition,
    group: readonly Prepared[],
  ): Promise<void> {
    const states = await readStates(session, definition, distinctKeys(group), this.parts.tombstones);
    const path = new HookPath(definition, this.parts.tombstones);
    for (const message of inVersionOrder(group)) {
      try {
        const result = await path.apply(em, message, states.get(message.key.text)!, this.#rules);
        if (result.aheadBy !== undefined) this.#clocks.set(message, result.aheadBy);
        const stored = message.bySave
          ? await readStates(session, definition, [message.key], this.parts.tombstones)
          : undefined;
        states.set(message.key.text, stored?.get(message.key.text) ?? result.stored);
        this.settle(message, result.outcome);
      } catch (error) {
        const fault = classifyDatabaseError(error);
        if (fault === 'transient') throw error;
        const reason = fault === 'foreign-key-missing' ? 'foreign-key' : undefined;
        this.settle(message, { kind: 'failed', error: toError(error), reason });
      }
    }
  }
}

function toLock({ definition, key, incoming }: Prepared): { cqrsId: string; key: string; alone: boolean } {
  return {
    cqrsId: definition.cqrsId,
    key: key.text,
    alone: incoming.signalType === 'DELETE' || definition.path === 'hooks',
  };
}

function distinctKeys(messages: readonly Prepared[]): Prepared['key'][] {
  return [...new Map(messages.map(({ key }) => [key.text, key])).values()];
}

/** How a message ends that failed alone, where the database's error leaves no doubt. */
function certainOutcome(error: unknown, { cqrsId, path }: ReplicaDefinition): Outcome | undefined {
  const fault = classifyDatabaseError(error);
  if (fault === 'foreign-key-missing') {
    return { kind: 'failed', error: toError(withoutValues(error)), reason: 'foreign-key' };
  }
  if (fault !== 'bad-data' || path !== 'rows') return undefined;
  // Not as its cause: PostgreSQL quotes the value.
  const refused = new MappingError(cqrsId, `the database refuses its values (${describeError(error)})`);
  return { kind: 'dead-letter', reason: refused.code, error: refused };
}

/** Ends a rehearsal. */
class TakenBack extends Error {}

async function takeBack(em: EntityManager): Promise<never> {
  await new SqlSession(em).run({ text: 'set constraints all immediate', parameters: [] });
  throw new TakenBack('rehearsal');
}

function inSavepointOf<T>(em: EntityManager, work: (em: EntityManager) => Promise<T>): Promise<T> {
  if (em.isInTransaction()) return em.transactional(work);
  return em.transactional(work, { isolationLevel: IsolationLevel.READ_COMMITTED });
}

function inTransaction<T>(em: EntityManager, work: (em: EntityManager) => Promise<T>): Promise<T> {
  if (em.isInTransaction()) return work(em);
  return em.transactional(work, { isolationLevel: IsolationLevel.READ_COMMITTED });
}
