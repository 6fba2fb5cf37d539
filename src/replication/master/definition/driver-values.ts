import type { EntityManager } from '@mikro-orm/core';
import { readArray } from '../../../wire/array-text.js';
import { bareType } from '../../../wire/values.js';

/**
 * A column's text → the value that the driver would have handed to MikroORM, by the type that PostgreSQL tells it. The
 * parsers are those of the connection itself, so that an entity of ours holds what `em.find` gives, also where an
 * application has parsers of its own.
 */

/** The type of a column as PostgreSQL describes it to its client: that below a domain. */
export interface DriverType {
  /** Undefined: one that no client has a parser for, or not known before start. */
  readonly oid: number | undefined;
  /** Of `character(n)`, whose cast to text loses the blanks at its end. */
  readonly length: number | undefined;
  /** Made of others by the application: a composite type, a range of its own, an array of a domain. */
  readonly composed: boolean;
}

export type ReadByDriver = (type: DriverType, text: string) => unknown;

/** What a column type is called, its number, and that of its array. The others have no parser. */
const TYPES: readonly [names: readonly string[], oid: number, array: number][] = [
  [['boolean', 'bool'], 16, 1000],
  [['bytea'], 17, 1001],
  [['bigint', 'int8', 'bigserial'], 20, 1016],
  [['smallint', 'int2', 'smallserial'], 21, 1005],
  [['integer', 'int', 'int4', 'serial'], 23, 1007],
  [['text'], 25, 1009],
  [['oid'], 26, 1028],
  [['json'], 114, 199],
  [['point'], 600, 1017],
  [['cidr'], 650, 651],
  [['real', 'float4'], 700, 1021],
  [['double precision', 'float8', 'float'], 701, 1022],
  [['circle'], 718, 719],
  [['money'], 790, 791],
  [['macaddr'], 829, 1040],
  [['inet'], 869, 1041],
  [['character', 'char', 'bpchar'], 1042, 1014],
  [['character varying', 'varchar'], 1043, 1015],
  [['date'], 1082, 1182],
  [['time', 'time without time zone'], 1083, 1183],
  [['timestamp', 'timestamp without time zone'], 1114, 1115],
  [['timestamptz', 'timestamp with time zone'], 1184, 1185],
  [['interval'], 1186, 1187],
  [['timetz', 'time with time zone'], 1266, 1270],
  [['numeric', 'decimal'], 1700, 1231],
  [['uuid'], 2950, 2951],
  [['jsonb'], 3802, 3807],
  [['numrange'], 3906, 3907],
];

const CHARACTER = 1042;

/** What can be known of a declared column type without the database. */
export function driverType(columnType: string): DriverType {
  const { name, array } = bareType(columnType);
  const known = TYPES.find(([names]) => names.includes(name));
  const oid = known && (array ? known[2] : known[1]);
  return { oid, length: oid === CHARACTER ? lengthOf(columnType, name) : undefined, composed: false };
}

/** @param typmod what `pg_attribute` says of the column's length. */
export function databaseType(oid: number, typmod: number, composed: boolean): DriverType {
  return { oid, length: oid === CHARACTER && typmod > HEADER ? typmod - HEADER : undefined, composed };
}

/** PostgreSQL counts its own four bytes. */
const HEADER = 4;

function lengthOf(columnType: string, name: string): number | undefined {
  const [, digits] = /\(\s*(\d+)\s*\)/.exec(columnType) ?? [];
  if (digits !== undefined) return Number(digits);
  return name === 'bpchar' ? undefined : 1;
}

interface Parsers {
  getTypeParser(oid: number, format: 'text'): (text: string) => unknown;
}

const known = new WeakMap<object, ReadByDriver>();

/** The reader of an EntityManager's connection. */
export function driverReader(em: EntityManager): ReadByDriver {
  const connection = em.getDriver().getConnection('write');
  let read = known.get(connection);
  if (!read) known.set(connection, (read = readerOf(parsersOf(connection))));
  return read;
}

/** Those that its pool is made with; undefined for other clients than `pg`. */
function parsersOf(connection: object): Parsers | undefined {
  const { mapOptions } = connection as { mapOptions?: (overrides: object) => { types?: Parsers } };
  if (typeof mapOptions !== 'function') return undefined;
  const { types } = mapOptions.call(connection, {});
  return typeof types?.getTypeParser === 'function' ? types : undefined;
}

function readerOf(parsers: Parsers | undefined): ReadByDriver {
  return ({ oid, length }, text) => {
    if (oid === undefined) return text;
    const whole = length === undefined ? text : padded(text, length);
    return parsers ? parsers.getTypeParser(oid, 'text')(whole) : parseAsUsual(oid, whole);
  };
}

// Characters, of which some have two code units.
function padded(text: string, length: number): string {
  const missing = length - Array.from(text).length;
  return missing > 0 ? text + ' '.repeat(missing) : text;
}

/** The parsers that MikroORM and `pg` have, for clients whose own cannot be asked. */
function parseAsUsual(oid: number, text: string): unknown {
  const scalar = SCALARS.get(oid);
  if (scalar) return scalar(text);
  const array = TYPES.find((type) => type[2] === oid);
  if (!array) return text;
  const element = SCALARS.get(array[1]) ?? ((item: string) => item);
  return readArray(text, (item) => (item === null ? null : element(item)));
}

const SCALARS: ReadonlyMap<number, (text: string) => unknown> = new Map([
  [16, (text: string): unknown => text === 't' || text === 'true'],
  [17, (text: string): unknown => Buffer.from(text.slice(2), 'hex')],
  ...[21, 23, 26, 700, 701].map((oid): [number, (text: string) => unknown] => [oid, Number]),
  [114, JSON.parse],
  [3802, JSON.parse],
]);
