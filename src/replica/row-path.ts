import type { Outcome } from '../inbox/handler.js';
import { fold } from './fold.js';
import type { Prepared } from './prepare.js';
import type { ReplicaColumn } from './replica-columns.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { Replacing, RowTexts } from './replica-table.js';
import type { Decision, RuleOptions, Stored } from './revision-rules.js';
import { rowKey, type RowKey } from './row-keys.js';
import type { SqlSession } from './sql-session.js';
import type { Burial } from './tombstones.js';

/** Rows that go in with one statement. */
interface WriteGroup {
  readonly columns: readonly ReplicaColumn[];
  readonly sync: boolean;
  readonly replace: Replacing;
  readonly rows: { readonly message: Prepared; readonly texts: RowTexts }[];
}

/** What is left of an entity's messages: one write a key, in the order of the keys. */
export interface RowPlan {
  readonly definition: ReplicaDefinition;
  readonly writes: readonly WriteGroup[];
  readonly deletes: readonly RowKey[];
  readonly burials: readonly Burial[];
}

export type Settle = (message: Prepared, outcome: Outcome) => void;

/** Folds the messages of each key to the one write that gets to their end. Settles all but those still to be written. */
export function planRows(
  definition: ReplicaDefinition,
  messages: readonly Prepared[],
  states: ReadonlyMap<string, Stored>,
  {
    rules,
    settle,
    distrusted,
  }: { rules: RuleOptions; settle: Settle; distrusted: (message: Prepared, aheadBy: number) => void },
): RowPlan {
  const writes = new Map<string, WriteGroup>();
  const deletes: RowKey[] = [];
  const burials: Burial[] = [];
  const groups = [...Map.groupBy(messages, (message) => message.key.text)].toSorted(([a], [b]) => (a < b ? -1 : 1));
  for (const [text, group] of groups) {
    const folded = fold(
      states.get(text)!,
      group.map((message) => message.incoming),
      rules,
    );
    for (const [index, decision] of folded.decisions.entries()) {
      const message = group[index]!;
      if (decision.aheadBy !== undefined) distrusted(message, decision.aheadBy);
      if (decision.action === 'superseded') settle(message, { kind: 'skipped', reason: 'superseded' });
      else if ('reason' in decision) settle(message, refusal(message, decision));
    }
    if (!folded.change) continue;
    const { action, winner, deleted } = folded.change;
    const message = group[winner]!;
    settle(message, applied(message, action));
    if (action === 'delete' || action === 'remember') {
      if (action === 'delete') deletes.push(message.key);
      burials.push({ key: text, version: (folded.final as { version: Burial['version'] }).version });
      continue;
    }
    const { columns, values } = message.row!;
    const sync = message.incoming.signalType === 'SYNC';
    const replace: Replacing = action !== 'replace' ? 'no' : deleted ? 'certainly' : 'if-newer';
    const shape = `${sync}|${replace}|${columns.map((column) => column.field).join()}`;
    let into = writes.get(shape);
    if (!into) writes.set(shape, (into = { columns, sync, replace, rows: [] }));
    into.rows.push({ message, texts: { values, version: message.incoming.version } });
  }
  return { definition, writes: [...writes.values()], deletes, burials };
}

/** The keys that a plan does something about. */
export function keysIn({ writes, deletes, burials }: RowPlan): Set<string> {
  const written = writes.flatMap(({ rows }) => rows.map(({ message }) => message.key.text));
  return new Set([...written, ...deletes.map(({ text }) => text), ...burials.map(({ key }) => key)]);
}

/** Writes what is to live. A row that somebody else has written newer meanwhile is settled as stale. */
export async function writeRows(session: SqlSession, plan: RowPlan, rules: RuleOptions, settle: Settle): Promise<void> {
  const table = plan.definition.table!;
  if (plan.writes.length > 1) {
    // Several statements would lock their rows in an order of their own.
    const keys = plan.writes.flatMap((group) => group.rows.map((row) => row.message.key));
    await session.run(table.lockRows(keys.toSorted((a, b) => (a.text < b.text ? -1 : 1)).map((key) => key.parts)));
  }
  for (const { columns, sync, replace, rows } of plan.writes) {
    const written = await session.run(
      table.write({ columns, sync, replace, rules, rows: rows.map((row) => row.texts) }),
    );
    if (written.length === rows.length) continue;
    const keys = new Set(
      written.map((row) => rowKey(plan.definition.keyColumns.map((_, index) => row[`k${index}`]!)).text),
    );
    for (const { message } of rows) {
      if (!keys.has(message.key.text)) settle(message, { kind: 'skipped', reason: 'stale' });
    }
  }
}

export function applied({ incoming }: Prepared, action: Exclude<Decision, { reason: string }>['action']): Outcome {
  return { kind: 'applied', action: NAMES[action], version: incoming.version };
}

const NAMES = {
  create: 'create',
  replace: 'create',
  update: 'update',
  delete: 'delete',
  remember: 'delete',
} as const;

export function refusal({ received }: Prepared, decision: Extract<Decision, { reason: string }>): Outcome {
  if (decision.action === 'dead-letter') return { kind: 'dead-letter', reason: decision.reason };
  return { kind: 'skipped', reason: received.expired ? 'expired' : decision.reason };
}
