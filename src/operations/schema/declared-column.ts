import type { CatalogueColumn } from './catalogue.js';

/** Something of the module, by its name. */
export interface Identifier {
  readonly identifier: string;
}

/** MikroORM's own type has no lists in lists; the module gets one that has. */
export const NESTED_ARRAY: Identifier = { identifier: 'NestedArray' };

/** How a column is declared: the options of its decorator that concern its type, and the type of the property. */
export interface ColumnType {
  readonly options: Readonly<Record<string, string | number | readonly string[] | Identifier>>;
  readonly property: string;
}

/**
 * The types that MikroORM has a class for. Everything else is its text in PostgreSQL, which the driver gives and takes
 * unchanged. Without `columnType` the schema generator makes the same column of it.
 */
const TYPES: Readonly<Record<string, { type: string; property: string; columnType?: string }>> = {
  smallint: { type: 'smallint', property: 'number' },
  integer: { type: 'integer', property: 'number' },
  bigint: { type: 'bigint', property: 'bigint' },
  real: { type: 'float', property: 'number' },
  'double precision': { type: 'double', property: 'number' },
  boolean: { type: 'boolean', property: 'boolean' },
  text: { type: 'text', property: 'string' },
  'character varying': { type: 'string', property: 'string', columnType: 'varchar' },
  character: { type: 'character', property: 'string', columnType: 'char' },
  numeric: { type: 'decimal', property: 'string', columnType: 'numeric' },
  date: { type: 'date', property: 'string' },
  'time without time zone': { type: 'time', property: 'string', columnType: 'time' },
  'timestamp with time zone': { type: 'datetime', property: 'Date', columnType: 'timestamptz' },
  'timestamp without time zone': { type: 'datetime', property: 'Date', columnType: 'timestamp' },
  interval: { type: 'interval', property: 'string' },
  uuid: { type: 'uuid', property: 'string' },
  json: { type: 'json', property: 'unknown', columnType: 'json' },
  jsonb: { type: 'json', property: 'unknown' },
  bytea: { type: 'blob', property: 'Buffer' },
};

/** The elements that the driver makes numbers of; those of all other arrays are texts. */
const NUMBERS = new Set(['smallint', 'integer', 'real', 'double precision', 'numeric']);

export function columnType({ type, dimensions }: CatalogueColumn): ColumnType {
  const { name, inside } = parts(type);
  if (dimensions > 0) {
    const element = NUMBERS.has(name) ? 'number' : name === 'boolean' ? 'boolean' : 'string';
    // The schema generator reads arrays without the length of their elements, and would change what is the same.
    const spelled = { columnType: type, ...(inside === undefined ? {} : { ignoreSchemaChanges: ['type'] }) };
    return dimensions === 1
      ? { options: { type: 'array', ...spelled }, property: `(${element} | null)[]` }
      : { options: { type: NESTED_ARRAY, ...spelled }, property: 'unknown[]' };
  }
  const known = TYPES[name];
  if (!known) return { options: { type: 'string', columnType: type }, property: 'string' };
  const { columnType: spelled } = known;
  if (name === 'numeric' && inside !== undefined) {
    const [precision = 0, scale = 0] = inside.split(',').map(Number);
    return { options: { type: known.type, precision, scale }, property: known.property };
  }
  if (name === 'character varying' && inside !== undefined) {
    return { options: { type: known.type, length: Number(inside) }, property: known.property };
  }
  if (inside !== undefined) {
    return { options: { type: known.type, columnType: `${spelled ?? name}(${inside})` }, property: known.property };
  }
  return { options: { type: known.type, ...(spelled ? { columnType: spelled } : {}) }, property: known.property };
}

/** `numeric(12,2)[]` → `numeric`, `12,2`; the length stands in the middle of `timestamp(3) with time zone`. */
function parts(type: string): { readonly name: string; readonly inside: string | undefined } {
  const element = type.replace(/(\[\])+$/, '');
  const inside = /\(([\d,\s-]+)\)/.exec(element)?.[1];
  return { name: inside === undefined ? element : element.replace(/\([\d,\s-]+\)/, '').trim(), inside };
}
