import type { Outcome } from '../../../messaging/inbox/handler.js';
import type { Prepared } from '../prepare.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Statement } from './replica-table.js';
import { rowKey } from '../definition/row-keys.js';
import { applied, refusal, type Settle } from './row-path.js';
import type { TextRow } from './sql-session.js';
import { compareVersions } from '../rules/stored-version.js';
import { unpack } from './text-columns.js';

/**
 * Writes a batch without looking first at what is stored, which is what most batches need: SAVEs of rows that are new,
 * or older, in the same incarnation. One statement carries the whole condition; what it refuses (an older state, another incarnation,
 * a tombstone, a row whose master numbers no incarnations) goes the long way: in the next transaction where all of the batch
 * could be written straight, and so travelled with its COMMIT; else within the same.
 *
 *   write ─▶ written: applied
 *        └─▶ refused: read what is stored ─▶ decide ─▶ write
 *
 * Of several messages of one key the lower ones are called superseded, even where the row was past them already: who
 * does not look cannot tell.
 *
 * A batch that was refused for the most part makes the next ones look first: a replay is all stale messages. While they look at
 * nothing else they hold no key, and look again, with their keys held, at what was news to them.
 */
export class StraightPath {
  /** How many batches of an entity are still to look first. */
  readonly #wary = new WeakMap<ReplicaDefinition, number>();

  constructor(
    /** The quoted table of `Tombstone`. */
    private readonly tombstones: string,
    /** Of such a table PostgreSQL does not say whether a row is new. */
    private readonly isPartitioned: (definition: ReplicaDefinition) => boolean,
  ) {}

  /** What to write; undefined when the messages have to go the long way, all of them. */
  plan(definition: ReplicaDefinition, messages: readonly Prepared[]): StraightPlan | undefined {
    if (this.isPartitioned(definition)) return undefined;
    const wary = this.#wary.get(definition) ?? 0;
    const histories = wary > 0 ? undefined : planStraight(messages);
    if (!histories) {
      this.#wary.set(definition, Math.max(0, wary - 1));
      return undefined;
    }
    const winners = histories.map(({ winner }) => winner);
    const statement = definition.table!.writeStraight({
      columns: winners[0]!.row!.columns,
      rows: winners.map((message) => ({ values: message.row!.values, version: message.incoming.version })),
      keys: winners.map((message) => message.key.text),
      cqrsId: definition.cqrsId,
      tombstones: this.tombstones,
    });
    return { definition, histories, count: messages.length, statement };
  }

  /** Whether the next batch of an entity is to look first. */
  isWary(definition: ReplicaDefinition): boolean {
    return (this.#wary.get(definition) ?? 0) > 0;
  }

  /** Is told what such a look has found. */
  looked(definition: ReplicaDefinition, { count, news }: { count: number; news: number }): void {
    this.#wary.set(definition, news > count / 2 ? 0 : (this.#wary.get(definition) ?? 0) - 1);
  }

  /** Settles what was written. @returns the messages that have to go the long way, in the order in which they came */
  conclude(plan: StraightPlan, rows: readonly TextRow[], settle: Settle): readonly Prepared[] {
    const { definition, histories, count } = plan;
    const wasWritten = readWritten(rows, definition.keyColumns.length, histories.length);
    const refused: Prepared[] = [];
    for (const { winner, others } of histories) {
      const action = wasWritten(winner.key.text);
      if (action === undefined) {
        refused.push(winner);
        for (const { message } of others ?? []) refused.push(message);
        continue;
      }
      settle(winner, applied(winner, action));
      for (const { message, outcome } of others ?? []) settle(message, outcome);
    }
    if (refused.length > count / 2) this.#wary.set(definition, WARY_BATCHES);
    return refused.toSorted((a, b) => a.index - b.index);
  }
}

/** One statement that needs no look at what is stored, and what its answer tells. */
export interface StraightPlan {
  readonly definition: ReplicaDefinition;
  readonly histories: readonly History[];
  readonly count: number;
  readonly statement: Statement;
}

const WARY_BATCHES = 20;

type Written = 'create' | 'update' | undefined;

/** The answer of `ReplicaTable.writeStraight` as a question: what was done to the row of a key. */
function readWritten(rows: readonly TextRow[], width: number, asked: number): (key: string) => Written {
  const written = new Map<string, Written>();
  for (const row of rows) {
    if ('k0' in row) {
      const parts = Array.from({ length: width }, (_, index) => row[`k${index}`]!);
      written.set(rowKey(parts).text, row['created'] === 'true' ? 'create' : 'update');
      continue;
    }
    for (const [column, action] of [
      ['created', 'create'],
      ['updated', 'update'],
    ] as const) {
      const parts = unpack(row[column]!);
      // As many as were asked for: which ones need not be read.
      if (parts.length === asked * width) return () => action;
      for (let at = 0; at < parts.length; at += width) written.set(rowKey(parts.slice(at, at + width)).text, action);
    }
  }
  return (key) => written.get(key);
}

/** The messages of one key: the one that is left in the end, and what becomes of the others once it is written. */
class History {
  others: { readonly message: Prepared; readonly outcome: Outcome }[] | undefined;

  constructor(public winner: Prepared) {}

  passOver(message: Prepared, outcome: Outcome): void {
    (this.others ??= []).push({ message, outcome });
  }
}

/** One history a key, in the order of the keys; undefined when the messages need rules that look at what is stored. */
function planStraight(messages: readonly Prepared[]): History[] | undefined {
  const histories = new Map<string, History>();
  const columns = messages[0]!.row?.columns;
  for (const message of messages) {
    const { incoming, row, bySave } = message;
    const { version } = incoming;
    if (incoming.signalType !== 'SAVE' || incoming.tooOld || bySave) return undefined;
    if (version.incarnation === null || !row || row.columns !== columns) return undefined;
    const history = histories.get(message.key.text);
    if (!history) {
      histories.set(message.key.text, new History(message));
      continue;
    }
    const current = history.winner.incoming.version;
    if (current.incarnation !== version.incarnation) return undefined;
    const order = compareVersions(version, current);
    if (order > 0) {
      history.passOver(history.winner, { kind: 'skipped', reason: 'superseded' });
      history.winner = message;
    } else {
      const reason = order === 0 ? 'duplicate' : 'stale';
      history.passOver(message, refusal(message, { action: 'skip', reason }));
    }
  }
  return [...histories.values()].toSorted((a, b) => (a.winner.key.text < b.winner.key.text ? -1 : 1));
}
