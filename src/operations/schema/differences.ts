import type { Column, IndexDef, TableDifference } from '@mikro-orm/sql';
import { isCaptureTrigger } from '../../replication/master/triggers/capture-triggers.js';
import { isOwnColumn, ownColumnTrouble } from './own-columns.js';

/** What stands in a table and what is declared of it, where they differ: in words. */
export interface SchemaDifference {
  readonly table: string;
  readonly what: string;
}

/** What the schema generator would change: the declaration says otherwise than the table. */
export function contradictions(difference: TableDifference): SchemaDifference[] {
  const { changedColumns, changedIndexes, changedChecks, changedForeignKeys, changedTriggers } = difference;
  return told(difference, [
    ...Object.values(changedColumns).flatMap(({ column, fromColumn, changedProperties }) =>
      columnTrouble(column, fromColumn, changedProperties),
    ),
    ...Object.keys(changedIndexes).map((name) => `${indexName(difference, name)} is declared otherwise`),
    ...Object.keys(changedChecks).map((name) => `check ${name} is declared otherwise`),
    ...Object.keys(changedForeignKeys).map((name) => `foreign key ${name} is declared otherwise`),
    ...Object.keys(changedTriggers).map((name) => `trigger ${name} is declared otherwise`),
    ...(difference.changedPartitioning ? ['its partitions are declared otherwise'] : []),
  ]);
}

/** What the schema generator would drop: no entity declares it. */
export function surplus(difference: TableDifference): SchemaDifference[] {
  const { removedColumns, renamedColumns, removedIndexes, renamedIndexes } = difference;
  return told(difference, [
    ...[...Object.keys(removedColumns), ...Object.keys(renamedColumns)].map((name) => `column ${name}`),
    ...[...Object.keys(removedIndexes), ...Object.keys(renamedIndexes)].map((name) => indexName(difference, name)),
    // MikroORM takes exclusion constraints for checks.
    ...Object.keys(difference.removedChecks).map((name) => `constraint ${name}`),
    ...Object.keys(difference.removedForeignKeys).map((name) => `foreign key ${name}`),
    ...Object.keys(difference.removedTriggers).map((name) => `trigger ${name}`),
    ...Object.keys(difference.removedPolicies).map((name) => `policy ${name}`),
    ...(difference.changedComment === undefined ? [] : ['its comment']),
    ...(difference.changedRlsEnabled === undefined ? [] : ['its row level security']),
    ...Object.values(difference.changedColumns)
      .filter(({ changedProperties }) => changedProperties.has('comment'))
      .map(({ column }) => `the comment of column ${column.name}`),
  ]);
}

/** What is declared of a table and is not there, columns aside. */
export function undeclared(difference: TableDifference): SchemaDifference[] {
  return told(difference, [
    ...[...Object.values(difference.addedIndexes), ...Object.values(difference.renamedIndexes)].map(
      (index) => `${kindOf(index)} ${index.keyName}`,
    ),
    ...Object.keys(difference.addedChecks).map((name) => `check ${name}`),
    ...Object.keys(difference.addedForeignKeys).map((name) => `foreign key ${name}`),
    ...Object.keys(difference.addedTriggers)
      .filter((name) => !isCaptureTrigger(name))
      .map((name) => `trigger ${name}`),
    ...Object.keys(difference.addedPolicies).map((name) => `policy ${name}`),
  ]);
}

function told({ toTable }: TableDifference, texts: readonly string[]): SchemaDifference[] {
  return texts.map((what) => ({ table: toTable.getShortestName(), what }));
}

function columnTrouble(declared: Column, found: Column, changed: ReadonlySet<string>): string[] {
  const { name } = declared;
  if (isOwnColumn(name)) {
    const trouble = ownColumnTrouble(declared, found);
    return trouble === undefined ? [] : [`column ${name} ${trouble}`];
  }
  const says = (property: string, is: string, as: string): string[] =>
    changed.has(property) ? [`column ${name} ${is}, and is declared ${as}`] : [];
  return [
    ...says('type', `is ${shown(found)}`, `as ${shown(declared)}`),
    ...says('nullable', nullability(found), nullability(declared).replace(/^may/, 'as one that may')),
    ...says('default', `has ${fallback(found)}`, `with ${fallback(declared)}`),
    ...says('generated', `is ${found.generated ?? 'not generated'}`, `as ${declared.generated ?? 'not generated'}`),
    ...says('autoincrement', numbering(found), numbering(declared).replace(/^is/, 'as')),
    ...says('collation', `has ${collation(found)}`, `with ${collation(declared)}`),
    ...says('enumItems', 'takes other values', 'with others'),
    ...says('extra', `has ${found.extra ?? 'nothing extra'}`, `with ${declared.extra ?? 'nothing extra'}`),
  ];
}

function shown({ type, length, precision, scale }: Column): string {
  if (type.includes('(')) return type;
  if (/^(numeric|decimal)$/.test(type) && precision !== undefined && precision !== null)
    return `${type}(${precision},${scale ?? 0})`;
  return length === undefined || length === null ? type : `${type}(${length})`;
}

function nullability({ nullable }: Column): string {
  return nullable ? 'may be null' : 'may not be null';
}

function fallback({ default: value }: Column): string {
  return value === undefined || value === null ? 'no default' : `the default ${value}`;
}

function numbering({ autoincrement }: Column): string {
  return autoincrement ? 'is numbered by a sequence' : 'is not numbered by a sequence';
}

function collation({ collation: name }: Column): string {
  return name === undefined || name === null ? 'no collation of its own' : `the collation ${name}`;
}

function indexName({ fromTable }: TableDifference, name: string): string {
  const index = fromTable.getIndexes().find(({ keyName }) => keyName === name);
  return `${index ? kindOf(index) : 'index'} ${name}`;
}

function kindOf({ primary, constraint }: IndexDef): string {
  return primary ? 'primary key' : constraint ? 'unique constraint' : 'index';
}
