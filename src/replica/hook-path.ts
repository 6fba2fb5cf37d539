import { LockMode, type EntityManager } from '@mikro-orm/core';
import { parseJson, stringifyJson, type WireObject } from '../core/wire-values.js';
import type { Outcome } from '../inbox/handler.js';
import { after } from './fold.js';
import type { Prepared } from './prepare.js';
import { previousValues, propertyValues } from './property-values.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { CreateContext, ReplicaInstance } from './replica-hooks.js';
import { compareVersions, decide, type Decision, type RuleOptions, type Stored } from './revision-rules.js';
import { keyCondition } from './row-keys.js';
import { applied, refusal } from './row-path.js';
import { SqlSession } from './sql-session.js';
import { bury } from './tombstones.js';

/**
 * The messages of one key are called in the order of their versions; keys keep the places they came in. Versions
 * without an incarnation have no order of their own: those come as they came.
 */
export function inVersionOrder(messages: readonly Prepared[]): Prepared[] {
  const ordered = [...messages];
  for (const group of Map.groupBy(messages, (message) => message.key.text).values()) {
    if (group.some((message) => message.incoming.version.incarnation === null)) continue;
    const places = group.map((message) => messages.indexOf(message));
    group
      .toSorted((a, b) => compareVersions(a.incoming.version, b.incoming.version))
      .forEach((message, index) => (ordered[places[index]!] = message));
  }
  return ordered;
}

/** One entity's messages, one call each, through the methods of its class. */
export class HookPath {
  constructor(
    private readonly definition: ReplicaDefinition,
    private readonly tombstones: string,
  ) {}

  /**
   * Applies one message in a savepoint of its own and answers with its end and what is stored then.
   * @throws what the hook has thrown; then nothing of this message took place.
   */
  async apply(
    transaction: EntityManager,
    message: Prepared,
    stored: Stored,
    rules: RuleOptions,
  ): Promise<{ outcome: Outcome; stored: Stored; aheadBy?: number }> {
    if (message.bySave) return { outcome: await this.#callSave(transaction, message), stored };
    const decision = decide(stored, message.incoming, rules);
    const { aheadBy } = decision;
    if ('reason' in decision) return { outcome: refusal(message, decision), stored, aheadBy };
    // An EntityManager of its own, so that nothing read for one message is taken for the present by the next.
    const scope = transaction.fork({ clear: true, keepTransactionContext: true });
    const now = await scope.transactional((em) => this.#carryOut(em, message, decision));
    return { outcome: applied(message, decision.action), stored: now, aheadBy };
  }

  async #carryOut(
    em: EntityManager,
    message: Prepared,
    decision: Exclude<Decision, { reason: string }>,
  ): Promise<Stored> {
    const { statics } = this.definition;
    const { payload } = message.received;
    const meta = statics.CQRS_META ? payload.meta : undefined;
    const session = new SqlSession(em);
    const ends = decision.action === 'delete' || decision.action === 'replace';
    if (ends) {
      const masterData = payload.signalType === 'DELETE' ? payload.instanceData : this.#farewell(message);
      await statics.cqrsDelete(em, { masterData, meta });
      await em.flush();
    }
    if (decision.action !== 'delete' && decision.action !== 'remember') {
      await this.#write(em, message, decision.action);
      await em.flush();
    }
    // A hook may keep what it was told to delete, or make nothing: what is there now is what the next message meets.
    const lives = decision.action !== 'remember' && (await session.run(this.#stamp(message, decision))).length > 0;
    const buried = after(decision).kind === 'tombstone';
    if (buried || !lives) {
      const burial = { key: message.key.text, version: decision.version };
      await session.run(bury(this.tombstones, this.definition.cqrsId, [burial]));
    }
    return { kind: lives ? 'row' : 'tombstone', version: decision.version };
  }

  async #write(em: EntityManager, message: Prepared, action: 'create' | 'update' | 'replace'): Promise<void> {
    const { definition } = this;
    const context = this.#context(em, message);
    const entity =
      action === 'create'
        ? null
        : await em.findOne(
            definition.entity as never,
            keyCondition(definition, message.key, em.getPlatform()) as never,
            {
              filters: false,
              ...(definition.statics.CQRS_SELECT_FOR_UPDATE ? { lockMode: LockMode.PESSIMISTIC_WRITE } : {}),
            },
          );
    if (entity !== null) {
      await (entity as ReplicaInstance).cqrsUpdate(em, context);
      return undefined;
    }
    const created = await definition.statics.cqrsCreate(em, context);
    if (created instanceof definition.entity) em.persist(created);
  }

  async #callSave(transaction: EntityManager, { received }: Prepared): Promise<Outcome> {
    const scope = transaction.fork({ clear: true, keepTransactionContext: true });
    return scope.transactional((em) => callSave(this.definition, em, received));
  }

  #context(em: EntityManager, { received, row }: Prepared): CreateContext {
    const { definition } = this;
    const { payload } = received;
    const platform = em.getPlatform();
    const { revision, updated, incarnation } = payload.version;
    return {
      sync: payload.signalType === 'SYNC',
      mappedData: row
        ? {
            ...propertyValues(row, payload.instanceData, platform),
            cqrsRevision: revision,
            cqrsUpdated: new Date(updated / 1000),
            cqrsIncarnation: incarnation,
          }
        : copy(payload.instanceData),
      previousData: row ? previousValues(definition, payload.previousData, platform) : copy(payload.previousData),
      meta: definition.statics.CQRS_META ? payload.meta : undefined,
    };
  }

  #stamp({ key, row }: Prepared, { version }: Exclude<Decision, { reason: string }>) {
    const times = (row?.columns ?? []).flatMap((column, index) => {
      const text = row!.values[index]!;
      const precise = (column.kind === 'datetime' || column.kind === 'datetime-utc') && /\.\d{4,}/.test(text ?? '');
      return precise ? [{ column, text }] : [];
    });
    return this.definition.table!.stamp(key.parts, version, times);
  }

  /** What a DELETE of the row's former life would have said; the master sent none, or it comes later. */
  #farewell({ key, received }: Prepared): WireObject {
    const { cqrs_revision, cqrs_updated } = received.payload.instanceData as Record<string, string>;
    return {
      id: key.parts.length === 1 ? key.parts[0]! : [...key.parts],
      cqrs_revision: cqrs_revision!,
      cqrs_updated: cqrs_updated!,
    };
  }
}

/** Hands a SAVE or SYNC to the class's own `cqrsSave`; what it answers with, if anything, is the message's end. */
export async function callSave(
  { statics, overrides }: ReplicaDefinition,
  em: EntityManager,
  { payload }: Prepared['received'],
): Promise<Outcome> {
  const sync = payload.signalType === 'SYNC';
  const meta = statics.CQRS_META ? payload.meta : undefined;
  const masterData = copy(payload.instanceData);
  const previousData = copy(payload.previousData);
  if (overrides.has('cqrsSave')) {
    const { incarnation } = payload;
    const outcome = await statics.cqrsSave(em, masterData, { previousData, sync, meta, incarnation });
    if (outcome) return outcome;
  } else {
    await statics.cqrsCreate(em, { sync, mappedData: masterData, previousData, meta });
  }
  return { kind: 'applied', action: 'update', version: payload.version };
}

// A hook may change what it is given; a retry must send what came. Exact numbers do not survive `structuredClone`.
function copy<T extends WireObject | null>(data: T): T {
  return parseJson(stringifyJson(data)) as T;
}
