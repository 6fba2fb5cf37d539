import { CompiledQuery } from 'kysely';
import type { Problem } from '../../../kernel/errors.js';
import { ADD_WHAT_IS_MISSING, versionProblem } from '../../../postgres/schema-version.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import { INCARNATION, type MasterTable, REVISION, UPDATED } from '../definition/master-table.js';

/** A table that has to be there: whose it is, what SQL calls it, and its columns. */
export interface ExpectedTable {
  readonly where: string;
  /** Quoted, with its schema. */
  readonly sqlName: string;
  readonly fields: readonly string[];
  readonly master: boolean;
  /** The schema version of a table of ours. */
  readonly version?: number;
}

interface FoundColumn {
  readonly table: string;
  readonly exists: boolean;
  readonly comment: string | null;
  readonly field: string | null;
  readonly type: string;
  readonly mandatory: boolean;
  readonly fallback: string | null;
}

/** What capture relies on: rows that anybody inserts get these from the database itself. */
const OWN_COLUMNS: readonly { field: string; type: RegExp; fallback: RegExp; why: string }[] = [
  {
    field: REVISION,
    type: /^(smallint|integer|bigint)$/,
    fallback: /^'?0'?(::\w+)?$/,
    why: 'a new row starts at revision 0',
  },
  {
    field: UPDATED,
    type: /^timestamp(\(6\))? with time zone$/,
    fallback: /clock_timestamp\(\)/,
    why: 'a row is as old as its last change, to the microsecond',
  },
  {
    field: INCARNATION,
    type: /^bigint$/,
    fallback: /clock_timestamp\(\).*nextval\('(.*\.)?cqrs_outbox_id_seq'::regclass\)/,
    why: 'a row created again needs a greater number, whatever the clock does',
  },
];

export function expectedTable(table: MasterTable, sqlName: string): ExpectedTable {
  return { where: table.root.className, sqlName, fields: table.columns.map((column) => column.field), master: true };
}

/** Everything that the database lacks or has otherwise than capture needs it; asked once, at start. */
export async function checkTables(client: Executor, tables: readonly ExpectedTable[]): Promise<Problem[]> {
  const found = await readColumns(client, tables);
  const problems = tables.flatMap((table) =>
    checkTable(
      table,
      found.filter((column) => column.table === table.sqlName),
    ),
  );
  return problems;
}

function checkTable(
  { where, sqlName, fields, master, version }: ExpectedTable,
  found: readonly FoundColumn[],
): Problem[] {
  if (!found.some((column) => column.exists)) {
    return [{ where, what: `its table ${sqlName} is not in the database.`, cure: ADD_WHAT_IS_MISSING }];
  }
  const missing = fields.filter((field) => !found.some((column) => column.field === field));
  const problems: Problem[] = [];
  if (missing.length > 0) {
    problems.push({ where, what: `its table ${sqlName} lacks ${missing.join(', ')}.`, cure: ADD_WHAT_IS_MISSING });
  } else if (version !== undefined) {
    problems.push(...versionProblem(where, sqlName, { comment: found[0]!.comment, version }));
  }
  for (const { field, type, fallback, why } of master ? OWN_COLUMNS : []) {
    const column = found.find((one) => one.field === field);
    if (!column) continue;
    const complain = (what: string): void => {
      problems.push({ where, what: `the column ${field} of ${sqlName} ${what}: ${why}.`, cure: ADD_WHAT_IS_MISSING });
    };
    if (!type.test(column.type)) complain(`is of type ${column.type}`);
    if (column.fallback === null) complain('has no default in the database');
    else if (!fallback.test(column.fallback)) complain(`has the default ${column.fallback}`);
    if (!column.mandatory) complain('may be null');
  }
  return problems;
}

async function readColumns(client: Executor, tables: readonly ExpectedTable[]): Promise<readonly FoundColumn[]> {
  const { rows } = await client.executeQuery<FoundColumn>(
    CompiledQuery.raw(
      `select name as "table", c.oid is not null as exists,
              obj_description(c.oid, 'pg_class') as comment, a.attname::text as field,
              format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as mandatory,
              pg_get_expr(d.adbin, d.adrelid) as fallback
         from unnest($1::text[]) as name
         left join pg_class c on c.oid = to_regclass(name)
         left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum`,
      [tables.map((table) => table.sqlName)],
    ) as CompiledQuery<FoundColumn>,
  );
  return rows;
}
