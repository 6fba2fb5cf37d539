import type { EntityManager } from '@mikro-orm/core';
import { givenText } from '../../../wire/exact-texts.js';
import type { Version } from '../../../wire/payload.js';
import { parseJson, stringifyJson, type WireObject } from '../../../wire/values.js';
import type { Outcome } from '../../../messaging/inbox/handler.js';
import { after } from '../rules/fold.js';
import type { Prepared } from '../prepare.js';
import { cutToDate, previousValues, propertyValues } from '../definition/property-values.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { isRowOf, replaceRow, StillReferenced } from './replacing.js';
import type { CreateContext, DeleteContext, ReplicaInstance } from '../definition/replica-hooks.js';
import { decide, type Decision, type RuleOptions, type Stored } from '../rules/revision-rules.js';
import { type Decided, lockOf, Together, type Writing } from './hooks-together.js';
import { keyCondition } from '../definition/row-keys.js';
import { applied, refusal, SUPPRESSED } from '../rows/row-path.js';
import { SqlSession } from '../rows/sql-session.js';
import type { StampedFlush } from './stamped-flush.js';
import { isTime, type Stamp } from './stamps.js';
import { compareVersions } from '../rules/stored-version.js';
import { bury } from '../rows/tombstones.js';
import type { WholeRows } from './whole-rows.js';

/**
 * The messages of one key are called in the order of their versions; keys keep the places they came in. Versions
 * without an incarnation have no order of their own: those come as they came.
 */
export function inVersionOrder(messages: readonly Prepared[]): Prepared[] {
  const ordered = [...messages];
  for (const group of Map.groupBy(messages, (message) => message.key.text).values()) {
    if (group.length === 1 || group.some((message) => message.incoming.version.incarnation === null)) continue;
    const places = group.map((message) => messages.indexOf(message));
    group
      .toSorted((a, b) => compareVersions(a.incoming.version, b.incoming.version))
      .forEach((message, index) => (ordered[places[index]!] = message));
  }
  return ordered;
}

/** What has become of a message, and what is stored of its row now. */
export interface Carried {
  readonly message: Prepared;
  readonly outcome: Outcome;
  readonly stored: Stored;
}

export interface HookParts {
  /** The quoted table of `Tombstone`. */
  readonly tombstones: string;
  /** Replicas whose hooks were seen to read more than their own row. */
  readonly readsOthers: WeakSet<ReplicaDefinition>;
  readonly flushes: StampedFlush;
}

/**
 * One entity's messages, one call each, through the methods of its class.
 *
 *   together (plain creates and updates of different rows): load all ─▶ call each ─▶ one flush, with stamps ─▶ stamp the rest
 *      └─ anything is thrown: all of it is taken back, and each goes alone
 *   alone: savepoint ─▶ load ─▶ call ─▶ flush ─▶ stamp
 *
 * Together they share an EntityManager. What a hook reads beside its own row might be out of date for the next one, so
 * the messages of a class that was seen to do so go alone from then on.
 */
export class HookPath {
  constructor(
    private readonly definition: ReplicaDefinition,
    private readonly parts: HookParts,
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
  ): Promise<{ outcome: Outcome; stored: Stored; decision?: Decision }> {
    if (message.bySave) return { outcome: await this.#callSave(transaction, message), stored };
    const decision = decide(stored, message.incoming, rules);
    if ('reason' in decision) {
      if (decision.action === 'skip' && decision.version) await this.#learn(transaction, message, decision.version);
      return { outcome: refusal(message, decision), stored: after(stored, decision), decision };
    }
    // An EntityManager of its own, so that nothing read for one message is taken for the present by the next.
    const scope = transaction.fork({ clear: true, keepTransactionContext: true });
    try {
      const now = await scope.transactional((em) => this.#carryOut(em, message, decision));
      return { outcome: applied(message, decision.action, decision.version), stored: now, decision };
    } catch (error) {
      if (error instanceof KeptBack) return { outcome: SUPPRESSED, stored, decision };
      if (!(error instanceof StillReferenced)) throw error;
      return { outcome: { kind: 'dead-letter', reason: 'replaced-row-deleted', error: error.error }, stored, decision };
    }
  }

  /** Stores a floor. */
  async #learn(em: EntityManager, { key }: Prepared, version: Version): Promise<void> {
    const { table } = this.definition;
    await new SqlSession(em).run(table!.stamp([], [{ key: key.parts, version, exact: [], values: [] }]));
  }

  /**
   * The messages from here on that may go together: of different rows, each to be created or updated. Empty where the
   * first may not.
   */
  nextTogether(
    messages: readonly Prepared[],
    from: number,
    states: ReadonlyMap<string, Stored>,
    rules: RuleOptions,
  ): readonly Decided[] {
    const run: Decided[] = [];
    const keys = new Set<string>();
    if (this.parts.readsOthers.has(this.definition)) return run;
    for (const message of messages.slice(from)) {
      if (message.bySave || keys.has(message.key.text)) return run;
      const decision = decide(states.get(message.key.text)!, message.incoming, rules);
      if (decision.action !== 'create' && decision.action !== 'update') return run;
      keys.add(message.key.text);
      run.push({ message, decision });
    }
    return run;
  }

  /**
   * Applies the first of these messages, or all, in one savepoint and with one flush; answers for those it applied.
   * @param rows the rows as they are now, where they are at hand.
   * @throws what a hook or the database has thrown; then nothing of any message took place.
   */
  async applyTogether(
    transaction: EntityManager,
    run: readonly Decided[],
    rows?: WholeRows,
  ): Promise<readonly Carried[]> {
    const { definition } = this;
    const scope = transaction.fork({ clear: true, keepTransactionContext: true });
    return scope.transactional(async (em) => {
      const together = await Together.load(em, definition, run, rows);
      const stamps = new Map<object, Stamp>();
      const done: Stamped[] = [];
      for (const { message, decision } of run) {
        const entity = await this.#write(
          em,
          message,
          decision.action as 'create' | 'update',
          together.entityOf(message),
        );
        const stamp = stampOf(message, decision);
        if (entity) stamps.set(entity, stamp);
        done.push({ message, decision, stamp, entity });
        if (!together.hasReadOthers()) continue;
        this.parts.readsOthers.add(definition);
        break;
      }
      together.check();
      const { stored, missed } = await this.parts.flushes.flush(em, definition, stamps);
      if (missed) throw new KeptBack(); // whose it was tells each alone
      const missing = await this.#stamp(
        em,
        done.filter(({ stamp }) => !stored.has(stamp)),
      );
      em.clear(); // or its end would look for changes once more
      return done.map(({ message, decision }) => ({
        message,
        outcome: applied(message, decision.action, decision.version),
        stored: { kind: missing.has(message) ? 'tombstone' : 'row', version: decision.version },
      }));
    });
  }

  async #carryOut(em: EntityManager, message: Prepared, decision: Writing): Promise<Stored> {
    const { definition } = this;
    const { action, version } = decision;
    const { instanceData } = message.received.payload;
    if (action === 'remember') {
      // Who overrides it may have written elsewhere, and made no row.
      if (definition.overrides.has('cqrsDelete')) {
        await this.#callDelete(em, message, { masterData: instanceData, replaced: false });
        await em.flush();
      } else if (await this.#exists(em, message)) throw new KeptBack(); // a policy lets it be read and not be locked
      await this.#bury(em, [{ message, decision }]);
      return { kind: 'tombstone', version };
    }
    if (action === 'delete') {
      await this.#callDelete(em, message, { masterData: instanceData, replaced: false });
      await em.flush();
      // A hook may keep what it was told to delete; who calls none means what it says.
      if (!definition.overrides.has('cqrsDelete') && (await this.#exists(em, message))) throw new KeptBack();
      const missing = await this.#stamp(em, [{ message, decision, stamp: stampOf(message, decision) }]);
      if (missing.size === 0) await this.#bury(em, [{ message, decision }]);
      return { kind: missing.size === 0 ? 'row' : 'tombstone', version };
    }
    const entity =
      action === 'replace'
        ? await replaceRow(em, definition, message, {
            farewell: () => this.#callDelete(em, message, { masterData: this.#farewell(message), replaced: true }),
            context: this.#context(em, message),
          })
        : await this.#write(em, message, action);
    const { missed } = await this.parts.flushes.flush(em, definition, new Map());
    if (missed && (await this.#exists(em, message))) throw new KeptBack();
    const missing = await this.#stamp(em, [{ message, decision, stamp: stampOf(message, decision), entity }]);
    return { kind: missing.size === 0 ? 'row' : 'tombstone', version };
  }

  #callDelete(
    em: EntityManager,
    { received }: Prepared,
    context: Pick<DeleteContext, 'masterData' | 'replaced'>,
  ): Promise<void> {
    const { statics } = this.definition;
    const meta = statics.CQRS_META ? received.payload.meta : undefined;
    return statics.cqrsDelete(em, { ...context, meta });
  }

  async #exists(em: EntityManager, { key }: Prepared): Promise<boolean> {
    return (await new SqlSession(em).run(this.definition.table!.placeOf(key.parts))).length > 0;
  }

  /**
   * Stamps rows, and buries those that are not there, which are what it answers with: a hook may make nothing.
   * @throws KeptBack where the database has kept a row back.
   */
  async #stamp(em: EntityManager, done: readonly Stamped[]): Promise<ReadonlySet<Prepared>> {
    if (done.length === 0) return new Set();
    const rows = done.map(({ stamp }) => ({ ...stamp, values: [] }));
    const answer = await new SqlSession(em).run(this.definition.table!.stamp([], rows));
    const { alive } = answer[0] as { alive: string | null };
    const there = new Set(alive?.split(',').map(Number));
    const missing = done.filter((_, index) => !there.has(index + 1));
    for (const { message, decision, entity } of missing) {
      const made = decision.action === 'create' && entity && isRowOf(em, this.definition, message, entity);
      if (made || (await this.#exists(em, message))) throw new KeptBack();
    }
    await this.#bury(em, missing);
    return new Set(missing.map(({ message }) => message));
  }

  async #bury(em: EntityManager, ended: readonly Decided[]): Promise<void> {
    if (ended.length === 0) return;
    const burials = ended.map(({ message, decision }) => ({ key: message.key.text, version: decision.version }));
    await new SqlSession(em).run(bury(this.parts.tombstones, this.definition.cqrsId, burials));
  }

  /** @param loaded the row's entity, where it is at hand. @returns the entity that was written to, if it is known. */
  async #write(
    em: EntityManager,
    message: Prepared,
    action: 'create' | 'update',
    loaded?: object,
  ): Promise<object | undefined> {
    const { definition } = this;
    const context = this.#context(em, message);
    const entity =
      action === 'create'
        ? null
        : (loaded ??
          (await em.findOne(
            definition.entity as never,
            keyCondition(definition, message.key, em.getPlatform()) as never,
            {
              filters: false,
              ...lockOf(definition),
            },
          )));
    if (entity !== null) {
      await (entity as ReplicaInstance).cqrsUpdate(em, context);
      return entity;
    }
    const created = await definition.statics.cqrsCreate(em, context);
    if (!(created instanceof definition.entity)) return undefined;
    em.persist(created);
    return created;
  }

  async #callSave(transaction: EntityManager, { received, awaited }: Prepared): Promise<Outcome> {
    const scope = transaction.fork({ clear: true, keepTransactionContext: true });
    return scope.transactional((em) => callSave(this.definition, em, received, awaited));
  }

  #context(em: EntityManager, { received, row, awaited }: Prepared): CreateContext {
    const { definition } = this;
    const { payload } = received;
    const platform = em.getPlatform();
    const { revision, updated, incarnation } = payload.version;
    return {
      sync: payload.signalType === 'SYNC',
      mappedData: row
        ? Object.assign(propertyValues(definition, row.columns, payload.instanceData, platform, payload.texts), {
            cqrsRevision: revision,
            cqrsUpdated: cutToDate(updated),
            cqrsIncarnation: incarnation,
          })
        : copy(payload.instanceData),
      previousData: row ? previousValues(definition, payload.previousData, platform) : copy(payload.previousData),
      meta: definition.statics.CQRS_META ? payload.meta : undefined,
      ...(awaited.length > 0 && { awaitedReferences: awaited }),
    };
  }

  /** What a DELETE of the row's former incarnation would have said; the master sent none, or it comes later. */
  #farewell({ key, received }: Prepared): WireObject {
    const { cqrs_revision, cqrs_updated } = received.payload.instanceData as Record<string, string>;
    return {
      id: key.parts.length === 1 ? key.parts[0]! : [...key.parts],
      cqrs_revision: cqrs_revision!,
      cqrs_updated: cqrs_updated!,
    };
  }
}

interface Stamped extends Decided {
  readonly stamp: Stamp;
  /** What was written to, if it is known. */
  readonly entity?: object | undefined;
}

/** No row came back: a trigger or a policy of the database. */
class KeptBack extends Error {}

function stampOf({ key, row, received }: Prepared, { version }: Writing): Stamp {
  const { texts } = received.payload;
  const loses = (column: ReplicaColumn, text: string): boolean =>
    isTime(column)
      ? /\.\d{4,}/.test(text)
      : !column.primary && column.wire.some((name) => givenText(texts, name, column.kind) === text);
  const exact = (row?.columns ?? []).flatMap((column, index) => {
    const text = row!.values[index];
    return text !== null && text !== undefined && loses(column, text) ? [{ column, text }] : [];
  });
  return { key: key.parts, version, exact };
}

/** Hands a SAVE or SYNC to the class's own `cqrsSave`; what it answers with, if anything, is the message's end. */
export async function callSave(
  { statics, overrides }: ReplicaDefinition,
  em: EntityManager,
  { payload }: Prepared['received'],
  awaited: readonly string[] = [],
): Promise<Outcome> {
  const sync = payload.signalType === 'SYNC';
  const meta = statics.CQRS_META ? payload.meta : undefined;
  const masterData = copy(payload.instanceData);
  const previousData = copy(payload.previousData);
  if (overrides.has('cqrsSave')) {
    const { incarnation, texts } = payload;
    const context = { previousData, sync, meta, incarnation, texts };
    const outcome = await statics.cqrsSave(
      em,
      masterData,
      awaited.length > 0 ? { ...context, awaitedReferences: awaited } : context,
    );
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
