import { quoted } from '../../../postgres/identifiers.js';
import {
  INCARNATION,
  type MasterTable,
  nextUpdated,
  OWN_PROPERTIES,
  REVISION,
  type RowImage,
  UPDATED,
} from '../definition/master-table.js';
import type { Row } from '../mikro-orm-internals.js';

export const OWN_FIELDS: readonly string[] = Object.values(OWN_PROPERTIES);

/**
 * How the library's three columns move with a statement. Users cannot write them: what they give for them is dropped.
 *
 * - `cqrs_revision`: one step a row and transaction; rows already written in it keep theirs.
 * - `cqrs_updated`: the database's clock, always later than before.
 * - `cqrs_incarnation`: set by the column's default when a row is inserted; anew, by the same function, when its key changes.
 *
 */
export function nextOwnColumns({ qualifier, first }: OwnMove = {}): Readonly<Record<string, string>> {
  const own = (field: string): string => (qualifier ? `${qualifier}.${quoted(field)}` : quoted(field));
  const xmin = qualifier ? `${qualifier}.xmin` : 'xmin';
  return {
    [REVISION]: `${own(REVISION)} + ${first ? '1' : step(own(UPDATED), xmin)}`,
    [UPDATED]: nextUpdated(own(UPDATED)),
  };
}

export interface OwnMove {
  /** What the statement calls the row before it, where a column's name alone would be ambiguous. */
  readonly qualifier?: string;
  /** Nothing was captured in this table yet in the transaction: no row asks whether the transaction has written it. */
  readonly first?: boolean;
}

/** The same as text of a SET clause. */
export function nextOwnAssignments(move?: OwnMove): string {
  return Object.entries(nextOwnColumns(move))
    .map(([field, expression]) => `${quoted(field)} = ${expression}`)
    .join(', ');
}

/** The incarnation of a row whose key may have changed. `condition` says whether it has. */
export function newIncarnationWhen(
  condition: string,
  { nextIncarnation }: Pick<MasterTable, 'nextIncarnation'>,
  former = quoted(INCARNATION),
): string {
  return `case when ${condition} then greatest(${nextIncarnation}, ${former} + 1) else ${former} end`;
}

/**
 * 0 for a row that this transaction has written, one of its savepoints included, else 1. The row tells by itself, so that
 * the cost does not grow with what was written before: a row that is visible and whose writer is in progress is our own.
 * `cqrs_updated` alone would be right but for others that have committed since the transaction began, and is the cheaper
 * question. The low half of a transaction's number is enough: savepoints have numbers above that of their transaction.
 */
function step(updated: string, xmin: string): string {
  const behind = `((${xmin}::text::bigint - pg_current_xact_id()::text::bigint) & 4294967295)`;
  const writer = `(pg_current_xact_id()::text::bigint + ${behind})::text::xid8`;
  return (
    `case when ${updated} < now() then 1 when ${behind} = 0 then 0 when ${behind} > 2147483647 then 1` +
    ` when pg_xact_status(${writer}) = 'in progress' then 0 else 1 end`
  );
}

/** A row by property name without our own. */
export function withoutOwnProperties(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([property]) => !Object.hasOwn(OWN_PROPERTIES, property)));
}

/** A row by column name without our own. */
export function withoutOwnFields(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([field]) => !OWN_FIELDS.includes(field)));
}

/**
 * For a key deleted and inserted again in one transaction: greater in every respect than what it replaces, for replicas
 * that look at the incarnation and for those that look at the revision alone. `former` are columns of the row that was
 * deleted.
 */
export function replacing(former: { incarnation: string; revision: string; updated: string }): string {
  return [
    `${quoted(INCARNATION)} = greatest(${ofRow(INCARNATION)}, ${former.incarnation} + 1)`,
    `${quoted(REVISION)} = ${former.revision} + 1`,
    `${quoted(UPDATED)} = greatest(${ofRow(UPDATED)}, ${former.updated} + interval '1 microsecond')`,
  ].join(', ');
}

function ofRow(field: string): string {
  return `"cqrs:row".${quoted(field)}`;
}

/** A new incarnation of a row that is already there: later than everything that was ever told of its key. */
export function reborn({ nextIncarnation }: Pick<MasterTable, 'nextIncarnation'>): string {
  return [
    `${INCARNATION} = greatest(${nextIncarnation}, ${INCARNATION} + 1)`,
    `${REVISION} = ${REVISION} + 1`,
    `${UPDATED} = ${nextUpdated(UPDATED)}`,
  ].join(', ');
}

/** Puts our columns into a row that MikroORM reads back into its entity. */
export function reveal(table: MasterTable, image: RowImage, row: Row): void {
  row[REVISION] = table.revision(image);
  row[INCARNATION] = table.incarnation(image);
  row[UPDATED] = table.value(image, UPDATED);
}
