import type { EntityMetadata, MikroORM } from '@mikro-orm/core';
import {
  type Column,
  DatabaseSchema,
  type DatabaseTable,
  type SchemaHelper,
  SchemaComparator,
  type SqlEntityManager,
  type SqlTriggerDef,
  type SqlSchemaGenerator,
  type TableDifference,
} from '@mikro-orm/sql';
import type { Cqrs } from '../../cqrs.js';
import { isCaptureTrigger } from '../../replication/master/triggers/capture-triggers.js';
import { CapturedChange } from '../../replication/master/triggers/captured-changes.js';
import { differingFunctions, examinedMaster } from '../../replication/master/triggers/examine-triggers.js';
import type { CapturedDriver } from '../../replication/master/mikro-orm-internals.js';
import type { Executor } from '../../messaging/outbox/outbox.js';
import { ownTablesAmong } from '../../own-tables.js';
import { contradictions, type SchemaDifference, surplus, undeclared } from './differences.js';
import { isOwnColumn, ownColumnStatements } from './own-columns.js';

/**
 * What the tables of masters and replicas, and those of this library, lack of what is declared, as statements that only
 * add. The differences are those that MikroORM's schema generator finds; what it would change or drop is named, and never
 * done.
 */
export interface AdditivePlan {
  /** In this order; the statements of one table belong into one transaction. */
  readonly tables: readonly TableAdditions[];
  /** Where a declaration contradicts its table, or what cannot be added to rows: the declaration has to follow. */
  readonly refused: readonly SchemaDifference[];
  /** What tables have and no entity declares. It stays. */
  readonly kept: readonly SchemaDifference[];
  /** Keys, indexes and checks that are declared and not there: for a migration of the application. */
  readonly left: readonly SchemaDifference[];
}

export interface TableAdditions {
  readonly table: string;
  readonly statements: readonly string[];
}

/** Compares the database with the declarations. Changes nothing. */
export async function planAdditions(cqrs: Cqrs): Promise<AdditivePlan> {
  const { orm } = cqrs;
  const em = orm.em as SqlEntityManager;
  const platform = em.getPlatform();
  const helper = platform.getSchemaHelper()!;
  const wanted = (orm.schema as unknown as SqlSchemaGenerator).getTargetSchema();
  const namespaces = [...wanted.getNamespaces()];
  const found = await DatabaseSchema.create(em.getConnection('write'), platform, orm.config, undefined, namespaces);
  const comparator = new SchemaComparator(platform);
  const lacks: TableAdditions[] = [];
  const missing: DatabaseTable[] = [];
  const plan = { refused: [] as SchemaDifference[], kept: [] as SchemaDifference[], left: [] as SchemaDifference[] };
  for (const { meta, ours } of involved(cqrs)) {
    const to = tableOf(wanted, meta, orm);
    if (!to) continue;
    const from = tableOf(found, meta, orm);
    if (!from) {
      missing.push(to);
      continue;
    }
    const difference = comparator.diffTable(from, to) || undefined;
    const triggers = clean(
      (ours ? [] : await lackingTriggers(cqrs, meta, to, difference)).map((one) => helper.createTrigger(to, one)),
    );
    const { statements: others, refused } = !difference
      ? NOTHING
      : ours
        ? ofOurs(difference, helper)
        : ofTheirs(difference, helper);
    // In the transaction of the columns that they note. Those of former fields stay beside them: services of the release
    // before look for these when they start.
    const statements = [...others, ...triggers];
    if (statements.length > 0) lacks.push({ table: to.getShortestName(), statements });
    if (!difference) continue;
    plan.refused.push(...refused, ...contradictions(difference));
    plan.kept.push(...surplus(difference));
    if (!ours) plan.left.push(...undeclared(difference));
  }
  return { tables: [...made(missing, helper), ...lacks], ...plan };
}

/** The tables of this library, on which those of masters rest, then those of masters and replicas, each once. */
function involved(cqrs: Cqrs): { meta: EntityMetadata; ours: boolean }[] {
  const theirs = [...cqrs.masters, ...cqrs.replicas].map(({ meta }) => ({ meta, ours: false }));
  const ours = ownTablesAmong(cqrs.orm.getMetadata()).map((meta) => ({ meta, ours: true }));
  const byName = new Map([...ours, ...theirs].map((one) => [`${one.meta.schema ?? ''}.${one.meta.tableName}`, one]));
  return [...byName.values()];
}

function tableOf(schema: DatabaseSchema, meta: EntityMetadata, orm: MikroORM): DatabaseTable | undefined {
  const namespace = meta.schema ?? orm.config.get('schema') ?? orm.em.getPlatform().getDefaultSchemaName();
  return schema.getTables().find((table) => table.name === meta.tableName && (table.schema ?? namespace) === namespace);
}

/** New tables first, then what is between them. */
function made(tables: readonly DatabaseTable[], helper: SchemaHelper): TableAdditions[] {
  const keys = tables.flatMap((table) => [
    ...Object.values(table.getForeignKeys()).map((key) => helper.createForeignKey(table, key)),
    ...table.getChecks().map((check) => helper.createCheck(table, check)),
    ...table.getTriggers().map((trigger) => helper.createTrigger(table, trigger)),
  ]);
  const statements = tables.map((table) => ({
    table: table.getShortestName(),
    statements: clean(helper.createTable(table, true)),
  }));
  return [...statements, ...(keys.length > 0 ? [{ table: 'keys between new tables', statements: clean(keys) }] : [])];
}

/** What a table of masters or replicas lacks. */
function ofTheirs(difference: TableDifference, helper: SchemaHelper): Additions {
  const { toTable } = difference;
  const { own, others } = sorted(addedColumns(difference));
  const bare = Object.values(difference.changedColumns)
    .filter(({ column, changedProperties }) => isOwnColumn(column.name) && changedProperties.has('default'))
    .map(({ column }) => column);
  const possible = others.filter((column) => obstacle(column) === undefined);
  return {
    statements: [
      ...ownColumnStatements(toTable.getQuotedName(), own, bare),
      ...(possible.length > 0 ? clean(helper.getAddColumnsSQL(toTable, possible)) : []),
    ],
    refused: others.flatMap((column) => {
      const what = obstacle(column);
      return what === undefined
        ? []
        : [{ table: toTable.getShortestName(), what: `column ${column.name} cannot be added here: ${what}` }];
    }),
  };
}

/** Triggers that capture a master and are not there, or call functions of another release. */
async function lackingTriggers(
  { orm, masters }: Cqrs,
  meta: EntityMetadata,
  to: DatabaseTable,
  difference: TableDifference | undefined,
): Promise<SqlTriggerDef[]> {
  const wanted = to.getTriggers().filter(({ name }) => isCaptureTrigger(name));
  const table = [...masters].find((one) => one.table.root === meta.root)?.table;
  if (!table || wanted.length === 0) return [];
  const driver = orm.driver as unknown as CapturedDriver;
  const client = (orm.em as SqlEntityManager).getConnection('write').getClient() as unknown as Executor;
  const master = examinedMaster(table, driver.getTableName(table.root, {}));
  const differ = await differingFunctions(client, driver.getTableName(CapturedChange.meta, {}), master);
  const isLacking = ({ name, expression = '' }: SqlTriggerDef): boolean =>
    difference?.addedTriggers[name] !== undefined || differ.some((one) => expression.includes(`function ${one}()`));
  return wanted.filter(isLacking);
}

/** What a table of this library lacks that an earlier release has made. */
function ofOurs(difference: TableDifference, helper: SchemaHelper): Additions {
  const { toTable } = difference;
  const columns = addedColumns(difference);
  return {
    statements: clean([
      ...(columns.length > 0 ? helper.getAddColumnsSQL(toTable, columns) : []),
      ...Object.values(difference.addedIndexes).map((index) =>
        helper.getCreateIndexSQL(toTable.getShortestName(), index),
      ),
    ]),
    refused: [],
  };
}

const NOTHING: Additions = { statements: [], refused: [] };

interface Additions {
  readonly statements: string[];
  readonly refused: readonly SchemaDifference[];
}

/** A column that only looks like another one under a new name is added all the same: nothing is renamed. */
function addedColumns({ addedColumns: added, renamedColumns }: TableDifference): Column[] {
  return [...Object.values(added), ...Object.values(renamedColumns)];
}

function sorted(columns: readonly Column[]): { own: Column[]; others: Column[] } {
  const { own = [], others = [] } = Object.groupBy(columns, ({ name }) => (isOwnColumn(name) ? 'own' : 'others'));
  return { own, others };
}

/** Why a column cannot be added to a table with rows in no time. */
function obstacle({ nullable, default: fallback, generated, autoincrement }: Column): string | undefined {
  if (generated || autoincrement) return 'its value is computed for every row';
  if (fallback !== undefined && fallback !== null) {
    return /\w\s*\(/.test(fallback.replace(/'(?:[^']|'')*'/g, '')) && !/^(now\(\)|current_timestamp)/i.test(fallback)
      ? 'its default may be another one for every row'
      : undefined;
  }
  return nullable ? undefined : 'it may not be null and has no default';
}

// The helpers end statements as they like, and put empty lines between them.
function clean(statements: readonly string[]): string[] {
  return statements.map((sql) => sql.trim().replace(/;$/, '')).flatMap((sql) => (sql === '' ? [] : `${sql};`));
}
