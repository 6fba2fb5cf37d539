import type { EntityManager } from '@mikro-orm/core';
import { toError } from '../../kernel/describe-error.js';
import type { Events } from '../../kernel/events.js';
import type { Registry } from '../declare/registry.js';
import type { Settings } from '../../kernel/settings.js';
import type { Outcome, Received } from '../../messaging/inbox/handler.js';
import type { KnownCycles } from './table/cyclic-references.js';
import { classifyDatabaseError, endsTransaction } from './rows/database-errors.js';
import { DecisionNotes } from './rules/decision-notes.js';
import { deleteCyclic, deleteRows } from './rows/deleting.js';
import { type Carried, HookPath, type HookParts, inVersionOrder } from './hooks/hook-path.js';
import type { Decided } from './hooks/hooks-together.js';
import { findHolders, KeysHeldError, lockName } from './held-keys.js';
import { KeyLocks, type LockId } from './key-locks.js';
import { type Look, lookWithCommit } from './rows/look-with-commit.js';
import { isOutcome, prepare, type Prepared } from './prepare.js';
import type { LossyValues } from './table/lossy-values.js';
import type { SenderTimes } from './sender-times.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';
import { isSameState, type RuleOptions, type Stored } from './rules/revision-rules.js';
import { askForKeys } from './definition/row-keys.js';
import { keysIn, keysOf, planRows, type RowPlan, type Settle, SUPPRESSED, writeRows } from './rows/row-path.js';
import { SqlSession, type TextRow } from './rows/sql-session.js';
import { readStates, readStatesAndRows } from './rows/stored-states.js';
import type { StraightPath, StraightPlan } from './rows/straight-path.js';
import { TimeLimits } from './time-limits.js';
import type { WholeRows } from './hooks/whole-rows.js';

/**
 * The most messages of replicas with hooks in one transaction: each holds a lock of its own, so that workers wait for
 * each other at the same row only, and PostgreSQL has room for a few thousand of all transactions together.
 */
export const HOOKS_AT_ONCE = 500;

export interface BatchParts extends HookParts {
  readonly replicas: Registry<ReplicaDefinition>;
  readonly settings: Settings;
  readonly events: Events;
  readonly straight: StraightPath;
  readonly times: SenderTimes;
  readonly lossy: LossyValues;
  /** What became of messages that were committed, but whose batch failed afterwards. */
  readonly committed: WeakMap<Received, Outcome>;
}

/**
 * Whether rows are written without a look at what is stored: together with the COMMIT where all of the batch can be; before
 * it; or not at all, after it was tried in vain.
 */
export type Straight = 'with-commit' | 'at-once' | 'no';

/** Is called when the transaction is committed. @returns the messages that are still to be applied, in another one */
export type Conclude = () => readonly Prepared[];

export const allDone: Conclude = () => [];

export interface BatchOptions {
  /** Also create rows from messages older than tombstones are kept. */
  readonly anyAge: boolean;
  /** Whether `cqrsSave` is asked, which may be what has led here. */
  readonly bySave: boolean;
  /** Whether the transaction is ours: limits of time would outlive a savepoint of somebody else's. */
  readonly ownTransaction: boolean;
  /** How long to wait for keys that others hold. Default: as long as it takes. */
  readonly keyWaitMs?: number | undefined;
}

/** One batch on its way: who is settled how, and what is told once it is committed. */
export class Batch {
  readonly prepared: Prepared[] = [];
  readonly outcomes: (Outcome | undefined)[];
  readonly rules: RuleOptions;
  readonly #limits: TimeLimits;
  readonly notes: DecisionNotes;

  constructor(
    private readonly parts: BatchParts,
    batch: readonly Received[],
    private readonly options: BatchOptions,
  ) {
    const { clockSkewToleranceSeconds, lockWaitSeconds, syncDowngrade, tombstoneRetentionSeconds } =
      parts.settings.replica;
    const now = Date.now() * 1000;
    this.rules = {
      now,
      tolerance: Math.round(clockSkewToleranceSeconds * 1_000_000),
      lockWait: Math.round(lockWaitSeconds * 1_000_000),
      syncDowngrade,
    };
    this.notes = new DecisionNotes({ events: parts.events, queue: parts.settings.queue ?? '' });
    this.#limits = new TimeLimits(parts, options.ownTransaction);
    const retention = options.anyAge ? Infinity : tombstoneRetentionSeconds * 1_000_000;
    this.outcomes = batch.map((received, index) => {
      const known = parts.committed.get(received);
      if (known) return known;
      const result = prepare(received, index, parts.replicas, {
        now,
        retention,
        bySave: options.bySave,
        times: parts.times,
        lossy: parts.lossy,
      });
      if (isOutcome(result)) return result;
      this.prepared.push(result);
      return undefined;
    });
  }

  readonly settle: Settle = (message, outcome) => {
    this.outcomes[message.index] = outcome;
  };

  /** @param cycles where messages were held up by rows that refer to each other: `cyclic-batch.ts` */
  async apply(
    em: EntityManager,
    messages: readonly Prepared[],
    how: Straight,
    cycles?: KnownCycles,
  ): Promise<Conclude> {
    this.notes.forget(messages);
    const byDefinition = [...Map.groupBy(messages, (message) => message.definition)].toSorted(
      ([a], [b]) => a.order - b.order,
    );
    const { ownTransaction } = this.options;
    const steady = ownTransaction && byDefinition.every(([{ path }]) => path === 'rows');
    const session = new SqlSession(em, steady);
    for (const [definition, group] of byDefinition) {
      await askForKeys(session, definition, group);
    }
    // A statement that runs into its limit of time must be known by name.
    const withCommit = how === 'with-commit' && !this.#limits.queryTimeoutMs;
    if (withCommit && byDefinition.every(([definition]) => this.parts.straight.isWary(definition))) {
      const looks = await lookWithCommit(session, byDefinition, this.parts.tombstones);
      return () => looks().flatMap((look) => this.#settleOldNews(look));
    }
    await this.#limits.lock(session, this.#locks(messages).all, { steady, waitMs: this.options.keyWaitMs });
    const groups = byDefinition.map(([definition, group]): Group => {
      const straight = how !== 'no' && !cycles && definition.path === 'rows';
      return {
        definition,
        messages: group,
        straight: straight ? this.parts.straight.plan(definition, group) : undefined,
      };
    });
    const all = groups.flatMap(({ straight }) => straight ?? []);
    if (withCommit && all.length === groups.length) return this.#writeWithCommit(session, all);
    const plans = (await this.#writeInOrder(em, session, groups)).toReversed();
    const deleting = { tombstones: this.parts.tombstones, limits: this.#limits, settle: this.settle };
    if (cycles) await deleteCyclic(em, plans, { ...deleting, cycles, alone: this.outcomes.length === 1 });
    else await deleteRows(session, plans, deleting);
    return allDone;
  }

  /** Says which clocks were not trusted, and which orders are not known, but for messages that are to be handled anew. */
  reportDoubts(open: readonly Prepared[] = []): void {
    this.notes.forget(open);
    this.notes.report();
  }

  /** Messages whose keys others have held for too long; they are put aside. @returns the others */
  async putAside(em: EntityManager, messages: readonly Prepared[], waitMs: number): Promise<readonly Prepared[]> {
    const { each } = this.#locks(messages);
    const { held, holders } = await findHolders(new SqlSession(em), [...each.values()].flat(), waitMs);
    const isHeld = (message: Prepared): boolean => each.get(message)!.some((lock) => held.has(lockName(lock)));
    const waiting = messages.filter(isHeld);
    if (waiting.length === 0) return messages;
    const error = new KeysHeldError(
      `Another worker holds the key: ${holders.map(({ pid }) => `PostgreSQL process ${pid}`).join(', ')}.`,
    );
    for (const message of waiting) this.settle(message, { kind: 'failed', reason: 'keys-held', error });
    const queue = this.parts.settings.queue ?? '';
    this.parts.events.emit('cqrs.replica.keys-held', { queue, count: waiting.length, waitMs, holders });
    return messages.filter((message) => !isHeld(message));
  }

  #locks(messages: readonly Prepared[]): { all: KeyLocks; each: ReadonlyMap<Prepared, readonly LockId[]> } {
    const hooked = messages.filter(({ definition }) => definition.path === 'hooks').length;
    // Of a transaction that is not ours nobody knows how many more will follow.
    const forHooks = this.options.ownTransaction && hooked <= HOOKS_AT_ONCE ? 'exactly' : 'alone';
    const all = new KeyLocks();
    const each = new Map<Prepared, readonly LockId[]>();
    for (const message of messages) {
      const { definition, key, incoming } = message;
      const hold = definition.path === 'hooks' ? forHooks : incoming.signalType === 'DELETE' ? 'alone' : 'shared';
      each.set(message, all.add(definition.cqrsId, key.text, hold));
    }
    return { all, each };
  }

  async #writeWithCommit(session: SqlSession, plans: readonly StraightPlan[]): Promise<Conclude> {
    const answers: TextRow[][] = [];
    for (const { statement } of plans) answers.push(await session.holdForCommit(statement));
    return () => plans.flatMap((plan, index) => this.parts.straight.conclude(plan, answers[index]!, this.settle));
  }

  /** Settles the messages of keys that nothing is to be done about. @returns the others */
  #settleOldNews({ definition, messages, states }: Look): readonly Prepared[] {
    const outcomes = new Map<Prepared, Outcome>();
    const plan = this.#plan(definition, messages, states, (message, outcome) => void outcomes.set(message, outcome));
    const concerned = keysIn(plan);
    const news = messages.filter(({ key }) => concerned.has(key.text));
    for (const [message, outcome] of outcomes) if (!concerned.has(message.key.text)) this.settle(message, outcome);
    this.parts.straight.looked(definition, { count: messages.length, news: news.length });
    return news;
  }

  #plan(
    definition: ReplicaDefinition,
    messages: readonly Prepared[],
    states: ReadonlyMap<string, Stored>,
    settle: Settle,
  ): RowPlan {
    return planRows(definition, messages, states, { rules: this.rules, settle, note: this.notes.add });
  }

  /**
   * Parents first. Statements that need no look at what is stored are sent together; whatever needs more finds all before
   * it done.
   */
  async #writeInOrder(em: EntityManager, session: SqlSession, groups: readonly Group[]): Promise<RowPlan[]> {
    const plans: RowPlan[] = [];
    let waiting: StraightPlan[] = [];
    const writeWaiting = async (): Promise<void> => {
      const together = waiting;
      waiting = [];
      for (const { definition, refused } of await this.#writeStraight(session, together)) {
        plans.push(await this.#limits.watch('writing', definition, this.#lookAndWrite(session, definition, refused)));
      }
    };
    for (const { definition, messages, straight } of groups) {
      if (straight) waiting.push(straight);
      // A statement that runs into its limit of time must be known by name.
      if (!straight || this.#limits.queryTimeoutMs) await writeWaiting();
      if (straight) continue;
      if (definition.path === 'hooks') await this.#callHooks(em, session, definition, messages);
      else
        plans.push(await this.#limits.watch('writing', definition, this.#lookAndWrite(session, definition, messages)));
    }
    await writeWaiting();
    return plans;
  }

  async #writeStraight(
    session: SqlSession,
    plans: readonly StraightPlan[],
  ): Promise<{ readonly definition: ReplicaDefinition; readonly refused: readonly Prepared[] }[]> {
    const [first] = plans;
    if (!first) return [];
    const running = session.runAll(plans.map(({ statement }) => statement));
    const answers = await this.#limits.watch('writing', first.definition, running);
    return plans.map((plan, index) => ({
      definition: plan.definition,
      refused: this.parts.straight.conclude(plan, answers[index]!, this.settle),
    }));
  }

  async #lookAndWrite(
    session: SqlSession,
    definition: ReplicaDefinition,
    messages: readonly Prepared[],
  ): Promise<RowPlan> {
    const plans: RowPlan[] = [];
    let open = messages;
    for (let before: ReadonlyMap<string, Stored> | undefined; open.length > 0;) {
      const states = await readStates(session, definition, distinctKeys(open), this.parts.tombstones);
      const plan = this.#plan(definition, open, states, this.settle);
      await this.#dismissTies(session, definition, open);
      const unwritten = await writeRows(session, plan);
      plans.push(plan);
      this.#settleSuppressed(plan, unwritten, { states, before });
      // What is still the same has not been written by somebody else.
      open = open.filter(
        ({ key: { text } }) => unwritten.has(text) && !isSameState(states.get(text)!, before?.get(text)),
      );
      before = states;
    }
    return {
      definition,
      writes: [],
      deletes: plans.flatMap(({ deletes }) => deletes),
      burials: plans.flatMap(({ burials }) => burials),
    };
  }

  /** Rows that were not written, although nobody else has written them since the look before. */
  #settleSuppressed(
    { writes }: RowPlan,
    unwritten: ReadonlySet<string>,
    { states, before }: { states: ReadonlyMap<string, Stored>; before: ReadonlyMap<string, Stored> | undefined },
  ): void {
    for (const { key, winner } of writes.flatMap(({ rows }) => rows)) {
      if (!winner || !unwritten.has(key.text) || !isSameState(states.get(key.text)!, before?.get(key.text))) continue;
      this.settle(winner, SUPPRESSED);
    }
  }

  /** Two states of one revision with the same content are no tie: a message that has come again. */
  async #dismissTies(session: SqlSession, definition: ReplicaDefinition, messages: readonly Prepared[]): Promise<void> {
    const ties = this.notes.ties.filter((message) => message.row && messages.includes(message));
    for (const [columns, group] of Map.groupBy(ties, ({ row }) => row!.columns)) {
      const rows = group.map(({ row }) => row!.values);
      const same = keysOf(definition, await session.run(definition.table!.equalRows(columns, rows)));
      this.notes.forget(group.filter(({ key }) => same.has(key.text)));
    }
  }

  async #callHooks(
    em: EntityManager,
    session: SqlSession,
    definition: ReplicaDefinition,
    group: readonly Prepared[],
  ): Promise<void> {
    // Locked also because of a worker of a release in which the class had no hook yet.
    const { states, rows } = await readStatesAndRows(session, definition, distinctKeys(group), {
      tombstones: this.parts.tombstones,
      wanted: group.length > 1 && !definition.overrides.has('cqrsSave') && !this.parts.readsOthers.has(definition),
    });
    const path = new HookPath(definition, this.parts);
    const callAlone = async (message: Prepared): Promise<void> => {
      try {
        const applying = path.apply(em, message, states.get(message.key.text)!, this.rules);
        const result = await this.#limits.watch('calling hooks of', definition, applying);
        if (result.decision) this.notes.add(message, result.decision);
        const stored = message.bySave
          ? await readStates(session, definition, [message.key], this.parts.tombstones)
          : undefined;
        states.set(message.key.text, stored?.get(message.key.text) ?? result.stored);
        this.settle(message, result.outcome);
      } catch (error) {
        if (endsTransaction(error)) throw error;
        const fault = classifyDatabaseError(error);
        const reason = fault === 'foreign-key-missing' ? 'foreign-key' : undefined;
        this.settle(message, fault === 'kept-back' ? SUPPRESSED : { kind: 'failed', error: toError(error), reason });
      }
    };
    const ordered = inVersionOrder(group);
    for (let at = 0; at < ordered.length;) {
      const run = path.nextTogether(ordered, at, states, this.rules);
      // Later on they may have been changed by a hook.
      const carried = run.length > 1 ? await this.#callTogether(em, path, run, at === 0 ? rows : undefined) : [];
      for (const { message, outcome, stored } of carried) {
        states.set(message.key.text, stored);
        this.settle(message, outcome);
      }
      at += carried.length;
      if (carried.length > 0) continue;
      for (const message of ordered.slice(at, at + Math.max(1, run.length))) await callAlone(message);
      at += Math.max(1, run.length);
    }
  }

  /** Those that were applied; none when it cannot be done together. */
  async #callTogether(
    em: EntityManager,
    path: HookPath,
    run: readonly Decided[],
    rows: WholeRows | undefined,
  ): Promise<readonly Carried[]> {
    try {
      const carried = await path.applyTogether(em, run, rows);
      for (const { message, decision } of run.slice(0, carried.length)) {
        this.notes.add(message, decision);
      }
      return carried;
    } catch (error) {
      if (endsTransaction(error)) throw error;
      return [];
    }
  }
}

/** The messages of one entity, and how to write them straight if they can be. */
interface Group {
  readonly definition: ReplicaDefinition;
  readonly messages: readonly Prepared[];
  readonly straight: StraightPlan | undefined;
}

function distinctKeys(messages: readonly Prepared[]): Prepared['key'][] {
  return [...new Map(messages.map(({ key }) => [key.text, key])).values()];
}
