import type { Outcome } from '../../../messaging/inbox/handler.js';
import { fold, type Folded } from '../rules/fold.js';
import type { Prepared } from '../prepare.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { RowTexts } from './replica-table.js';
import type { WriteCondition } from './write-condition.js';
import type { Decision, RuleOptions, Stored } from '../rules/revision-rules.js';
import { rowKey, type RowKey } from '../definition/row-keys.js';
import type { SqlSession, TextRow } from './sql-session.js';
import { isNumbered, toldVersion } from '../rules/stored-version.js';
import type { Burial } from './tombstones.js';

/** Rows that go in with one statement. */
interface WriteGroup {
  readonly columns: readonly ReplicaColumn[];
  readonly condition: WriteCondition;
  /** A new incarnation over an old row: what no message fills begins anew, too. */
  readonly resets: boolean;
  readonly rows: PlannedRow[];
}

interface PlannedRow {
  readonly key: RowKey;
  /** The message whose state it is; undefined where only a floor is stored. */
  readonly winner: Prepared | undefined;
  readonly texts: RowTexts;
}

/** What is left of an entity's messages: one write a key, in the order of the keys. */
export interface RowPlan {
  readonly definition: ReplicaDefinition;
  readonly writes: readonly WriteGroup[];
  readonly deletes: readonly { readonly key: RowKey; readonly message: Prepared }[];
  readonly burials: readonly Burial[];
}

/** The database has kept a write back: a trigger, a rule or a policy. */
export const SUPPRESSED: Outcome = { kind: 'skipped', reason: 'suppressed' };

export type Settle = (message: Prepared, outcome: Outcome) => void;

/** Is told of decisions about which something has to be said once they are committed. */
export type Note = (message: Prepared, decision: Pick<Decision, 'aheadBy' | 'doubt'>) => void;

/** Folds the messages of each key to the one write that gets to their end. Settles all but those still to be written. */
export function planRows(
  definition: ReplicaDefinition,
  messages: readonly Prepared[],
  states: ReadonlyMap<string, Stored>,
  { rules, settle, note }: { rules: RuleOptions; settle: Settle; note: Note },
): RowPlan {
  const writes = new Map<string, WriteGroup>();
  const deletes: { key: RowKey; message: Prepared }[] = [];
  const burials: Burial[] = [];
  const groups = [...Map.groupBy(messages, (message) => message.key.text)].toSorted(([a], [b]) => (a < b ? -1 : 1));
  for (const [text, group] of groups) {
    const stored = states.get(text)!;
    const folded = fold(
      stored,
      group.map((message) => message.incoming),
      rules,
    );
    settleOthers(group, folded, { settle, note });
    const { change, final, learned } = folded;
    if (learned && final.kind === 'row') {
      const { keyColumns } = definition;
      const { key } = group[0]!;
      const texts = {
        values: key.parts,
        version: final.version,
        expected: stored.kind === 'row' ? stored.version : null,
      };
      into(writes, { columns: keyColumns, condition: 'unchanged', resets: false }).push({
        key,
        winner: undefined,
        texts,
      });
    }
    if (!change) continue;
    const { action, winner } = change;
    const message = group[winner]!;
    const { version } = final as { version: Burial['version'] };
    settle(message, applied(message, action, version));
    if (action === 'delete' || action === 'remember') {
      if (action === 'delete') deletes.push({ key: message.key, message });
      burials.push({ key: text, version });
      continue;
    }
    const { columns, values } = message.row!;
    const sync = message.incoming.signalType === 'SYNC';
    const rows = into(writes, {
      columns,
      condition: conditionOf(stored, message, sync),
      resets: action === 'replace' && !sync,
    });
    rows.push({
      key: message.key,
      winner: message,
      texts: { values, version, expected: stored.kind === 'row' ? stored.version : null },
    });
  }
  return { definition, writes: [...writes.values()], deletes, burials };
}

/** Where both sides are numbered a row that somebody else has written meanwhile can be told from a newer one in SQL. */
function conditionOf(stored: Stored, { incoming }: Prepared, sync: boolean): WriteCondition {
  if (isNumbered(incoming.version) && (stored.kind !== 'row' || isNumbered(stored.version)))
    return sync ? 'not-newer' : 'older';
  return stored.kind === 'row' ? 'unchanged' : 'absent';
}

function into(writes: Map<string, WriteGroup>, { columns, condition, resets }: Omit<WriteGroup, 'rows'>): PlannedRow[] {
  const shape = `${condition}|${resets}|${columns.map((column) => column.field).join()}`;
  let group = writes.get(shape);
  if (!group) writes.set(shape, (group = { columns, condition, resets, rows: [] }));
  return group.rows;
}

function settleOthers(
  group: readonly Prepared[],
  { decisions }: Folded,
  { settle, note }: { settle: Settle; note: Note },
): void {
  for (const [index, decision] of decisions.entries()) {
    const message = group[index]!;
    note(message, decision);
    if (decision.action === 'superseded') settle(message, { kind: 'skipped', reason: 'superseded' });
    else if ('reason' in decision) settle(message, refusal(message, decision));
  }
}

/** The keys that a plan does something about. */
export function keysIn({ writes, deletes, burials }: RowPlan): Set<string> {
  const written = writes.flatMap(({ rows }) => rows.map(({ key }) => key.text));
  return new Set([...written, ...deletes.map(({ key }) => key.text), ...burials.map(({ key }) => key)]);
}

/** Writes what is to live. @returns the keys whose rows did not come back: they were not written. */
export async function writeRows(session: SqlSession, plan: RowPlan): Promise<ReadonlySet<string>> {
  const table = plan.definition.table!;
  if (plan.writes.length > 1) {
    // Several statements would lock their rows in an order of their own.
    const keys = plan.writes.flatMap((group) => group.rows.map((row) => row.key));
    await session.hold(table.lockRows(keys.toSorted((a, b) => (a.text < b.text ? -1 : 1)).map((key) => key.parts)));
  }
  const answers = await session.runAll(
    plan.writes.map(({ columns, condition, resets, rows }) =>
      table.write({ columns, condition, resets, rows: rows.map((row) => row.texts) }),
    ),
  );
  const unwritten = new Set<string>();
  for (const [index, { rows }] of plan.writes.entries()) {
    const written = answers[index]!;
    if (written.length === rows.length) continue;
    const keys = keysOf(plan.definition, written);
    for (const { key } of rows) if (!keys.has(key.text)) unwritten.add(key.text);
  }
  return unwritten;
}

/** The keys that an answer names: `k0`, `k1` … */
export function keysOf({ keyColumns }: ReplicaDefinition, rows: readonly TextRow[]): ReadonlySet<string> {
  return new Set(rows.map((row) => rowKey(keyColumns.map((_, index) => row[`k${index}`]!)).text));
}

/** @param version what is stored afterwards. */
export function applied(
  { incoming }: Prepared,
  action: Exclude<Decision, { reason: string }>['action'],
  version = incoming.version,
): Outcome {
  return { kind: 'applied', action: NAMES[action], version: toldVersion(version) };
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
