import { INCARNATION, type ReplicaColumn, REVISION, UPDATED } from '../definition/replica-columns.js';
import type { Version } from '../../../wire/payload.js';
import { withoutCollation } from '../../../wire/values.js';
import { shapeOf, stampColumns, type StampedRow, stampText } from '../hooks/stamps.js';
import { versionColumns, versionTexts } from '../rules/stored-version.js';
import { SEPARATOR_SQL, type TextColumns, textColumns, transpose, unnest } from './text-columns.js';
import { olderText, type WriteCondition } from './write-condition.js';

/** A row as it is written: a text a column, in the order of the shape it belongs to, and its version. */
export interface RowTexts {
  readonly values: readonly (string | null)[];
  readonly version: Version;
  /** What must be stored of the row for `unchanged`; not looked at otherwise. */
  readonly expected?: Version | null;
}

export interface Statement {
  readonly text: string;
  readonly parameters: readonly unknown[];
  /** Its text is one of few, and finds rows by an index: PostgreSQL may keep it and its plan. */
  readonly steady?: boolean;
}

export interface StraightWrite {
  readonly columns: readonly ReplicaColumn[];
  readonly rows: readonly RowTexts[];
  /** The texts of the rows' keys, as tombstones name them. */
  readonly keys: readonly string[];
  readonly cqrsId: string;
  readonly tombstones: string;
}

export interface WriteOptions {
  /** Which of the table's columns the rows have; most messages have them all. */
  readonly columns: readonly ReplicaColumn[];
  readonly rows: readonly RowTexts[];
  readonly condition: WriteCondition;
  /** Columns that the rows do not have take their defaults. */
  readonly resets: boolean;
}

/**
 * The SQL of one replica's table. Values are bound as text arrays, one a column, and read by PostgreSQL itself, so that
 * microseconds, decimals and 64-bit integers arrive as they are. Texts of statements are constant for each set of
 * columns.
 */
export class ReplicaTable {
  readonly name: string;
  readonly #columns: readonly ReplicaColumn[];
  readonly #keys: readonly ReplicaColumn[];
  readonly #optional: readonly string[];
  readonly #discriminator: { readonly field: string; readonly value: string } | undefined;
  readonly #quote: (identifier: string) => string;
  readonly #texts = new Map<string, string>();

  constructor(parts: {
    readonly name: string;
    readonly columns: readonly ReplicaColumn[];
    readonly keyColumns: readonly ReplicaColumn[];
    /** Columns that a row can do without. */
    readonly optional: readonly string[];
    readonly discriminator?: { readonly field: string; readonly value: string } | undefined;
    readonly quote: (identifier: string) => string;
  }) {
    this.name = parts.name;
    this.#columns = parts.columns;
    this.#keys = parts.keyColumns;
    this.#optional = parts.optional;
    this.#discriminator = parts.discriminator;
    this.#quote = parts.quote;
  }

  /** The columns that must exist. */
  get fields(): string[] {
    const shared = this.#discriminator ? [this.#discriminator.field] : [];
    return [...this.#columns.map((column) => column.field), ...shared, ...VERSION_FIELDS];
  }

  /** How a key prints, the same in every session whatever its time zone. */
  keyText(column: ReplicaColumn, expression: string): string {
    if (column.cast === 'citext') return `lower(${expression}::text)`;
    if (column.kind !== 'datetime') return `${expression}::text`;
    // With its zone, or whoever reads it would take it for a time of the session's own.
    const utc = `replace((${expression} at time zone 'UTC')::text || '+00', ' BC+00', '+00 BC')`;
    return `case when isfinite(${expression}) then ${utc} else ${expression}::text end`;
  }

  /** Key parts as they came → as the database prints them: `n`, `k0`, `k1` … */
  normalizeKeys(keys: readonly (readonly string[])[]): Statement {
    const parts = this.#keys.map(
      (column, index) => `${this.keyText(column, `u.c${index}::${withoutCollation(column.type)}`)} as k${index}`,
    );
    return {
      text: `select ${parts.join(', ')} from ${unnest(this.#keys.length)} order by u.n`,
      parameters: transpose(keys, this.#keys.length),
    };
  }

  /**
   * The versions of these keys' rows and tombstones, in no particular order: `k0`, `k1` … name a row, `buried` (the text
   * of the key) a tombstone; or all of them packed in one row, key and version each, those of rows in `living`, of tombstones
   * in `dead`. Both are asked for by their keys alone: a join with the list of keys would make PostgreSQL read tables as a
   * whole.
   */
  readStates(
    cqrsId: string,
    keys: readonly { text: string; parts: readonly string[] }[],
    tombstones: string,
    lockRows: boolean,
  ): Statement {
    const width = this.#keys.length;
    const texts = textColumns([
      ...transpose(
        keys.map((key) => key.parts),
        width,
      ),
      keys.map((key) => key.text),
    ]);
    const text = this.#textOf(`states|${texts.form}|${lockRows}`, () => this.#statesText(tombstones, lockRows, texts));
    return { text, parameters: [...texts.parameters, cqrsId], steady: true };
  }

  /** Rows with these keys, all that is in them, as the driver reads them; nobody else changes them from now on. */
  lockWholeRows(keys: readonly (readonly string[])[]): Statement {
    const texts = textColumns(transpose(keys, this.#keys.length));
    const text = this.#textOf(
      `whole|${texts.form}`,
      () => `select t.* from ${this.#rowsByKeys(texts.sql)} for no key update of t`,
    );
    return { text, parameters: texts.parameters };
  }

  /** Locks existing rows in one order for everybody. */
  lockRows(keys: readonly (readonly string[])[]): Statement {
    return {
      text: `select 1 from ${unnest(this.#keys.length)} join ${this.name} t
        on ${this.#sameKey('t', (index) => `u.c${index}::${this.#keys[index]!.cast}`)} order by u.n for no key update of t`,
      parameters: transpose(keys, this.#keys.length),
    };
  }

  /** Inserts rows or writes over them, each under its condition; answers with the keys (`k0`, `k1` …) of those written. */
  write(options: WriteOptions): Statement {
    const { columns, rows, condition, resets } = options;
    const texts = textColumns([
      ...rowColumns(columns, rows),
      ...(condition === 'unchanged' ? versionColumns(rows.map(({ expected }) => expected!)) : []),
    ]);
    const shape = [condition, texts.form, fieldsOf(columns), resets].join('|');
    const text = this.#textOf(shape, () =>
      condition === 'unchanged' ? this.#changeText(options, texts) : this.#upsertText(options, condition, texts),
    );
    return { text, parameters: texts.parameters, steady: true };
  }

  /**
   * The same for SAVEs of numbered incarnations, without any knowledge of what is stored: it writes only where there is neither
   * a row of another incarnation or an equal or higher version, nor a tombstone. Answers also whether each row is new: `k0`, `k1` …
   * and `created` a row, or all keys packed in one row, those of new rows in `created`, the others in `updated`.
   */
  writeStraight({ columns, rows, keys, cqrsId, tombstones }: StraightWrite): Statement {
    const texts = textColumns([...rowColumns(columns, rows), keys]);
    const text = this.#textOf(`straight|${texts.form}|${fieldsOf(columns)}`, () =>
      this.#straightText(columns, tombstones, texts),
    );
    return { text, parameters: [...texts.parameters, cqrsId], steady: true };
  }

  /** Gives columns that no message has filled their defaults. */
  resetRow(key: readonly string[], filled: readonly ReplicaColumn[]): Statement {
    const resets = this.#resets(filled, true);
    if (resets.length === 0) return this.placeOf(key);
    return { text: `update ${this.name} t set ${resets.join(', ')} where ${this.#isKey()}`, parameters: key };
  }

  /** Where a row is stored (`place`), which every change of it changes. */
  placeOf(key: readonly string[]): Statement {
    const text = `select (t.tableoid, t.ctid)::text as place from ${this.name} t where ${this.#isKey()}`;
    return { text, parameters: key };
  }

  /** Answers with the keys (`k0`, `k1` …) of the rows that have these values. */
  equalRows(columns: readonly ReplicaColumn[], rows: readonly (readonly (string | null)[])[]): Statement {
    const values = columns.map((column, index) => {
      const [stored, given] = [`t.${this.#quote(column.field)}`, `u.c${index}::${column.cast}`];
      // PostgreSQL does not compare `json`.
      return column.kind === 'json' ? [`${stored}::jsonb`, `${given}::jsonb`] : [stored, given];
    });
    const key = this.#keys.map((column) => {
      const index = columns.findIndex(({ field }) => field === column.field);
      return `r.${this.#quote(column.field)} = u.c${index}::${column.cast}`;
    });
    return {
      text: `select ${this.#keyTexts('t').join(', ')} from ${unnest(columns.length)}
        cross join lateral (select * from ${this.name} r where ${key.join(' and ')} offset 0) t
        where ${values.map(([stored, given]) => `${stored} is not distinct from ${given}`).join(' and ')}`,
      parameters: transpose(rows, columns.length),
    };
  }

  /** Answers with the keys (`k0`, `k1` …) of those that were there. */
  deleteRows(keys: readonly (readonly string[])[]): Statement {
    return {
      text: `delete from ${this.name} t using ${unnest(this.#keys.length)}
        where ${this.#sameKey('t', (index) => `u.c${index}::${this.#keys[index]!.cast}`)} returning ${this.#keyTexts('t').join(', ')}`,
      parameters: transpose(keys, this.#keys.length),
    };
  }

  /**
   * Stamps rows that hooks have written, and writes these columns of them with it; answers with the numbers, from 1, of
   * those that are there (`alive`). Values of which JavaScript has less than came (the microseconds of a time) get back what
   * they have lost, unless the hook has stored another value.
   */
  stamp(changed: readonly ReplicaColumn[], rows: readonly StampedRow[]): Statement {
    const shape = shapeOf(changed, rows);
    const texts = textColumns(stampColumns(this.#keys.length, shape, rows));
    const table = { name: this.name, keys: this.#keys, quote: this.#quote };
    const text = this.#textOf(`stamp|${texts.form}|${fieldsOf(shape.exact)}|${fieldsOf(changed)}`, () =>
      stampText(table, shape, texts),
    );
    return { text, parameters: texts.parameters };
  }

  /** Texts are made once for each form that rows come in; of hooks that change now this, now that, there may be any number. */
  #textOf(shape: string, make: () => string): string {
    const known = this.#texts.get(shape);
    if (known !== undefined) return known;
    const text = make();
    if (this.#texts.size < MOST_TEXTS) this.#texts.set(shape, text);
    return text;
  }

  #statesText(tombstones: string, lockRows: boolean, texts: TextColumns): string {
    const width = this.#keys.length;
    const names = this.#keyTexts('t');
    const rows = `select ${names.join(', ')}, null as buried, ${versionTexts('t')} from ${this.#rowsByKeys(texts.sql)}`;
    const states = `${lockRows ? `select * from (${rows} for no key update of t) as locked` : rows}
      union all
      select ${names.map(() => 'null').join(', ')}, d.key, ${versionTexts('d', 'plain')}
      from ${tombstones} d where d.cqrs_id = $${width + 2} and d.key = any(${texts.sql(width)})`;
    if (texts.form === 'arrays') return states;
    // As for `writeStraight`: a thousand rows take longer to read than all the rest.
    const version = ['revision', 'updated', 'incarnation'].map((name) => `coalesce(${name}, '')`);
    const packed = (key: readonly string[]): string =>
      `string_agg(${[...key, ...version].join(` || ${SEPARATOR_SQL} || `)}, ${SEPARATOR_SQL})`;
    return `with states as (${states})
      select ${packed(this.#keys.map((_, index) => `k${index}`))} filter (where buried is null) as living,
        ${packed(['buried'])} filter (where buried is not null) as dead from states`;
  }

  #straightText(columns: readonly ReplicaColumn[], tombstones: string, texts: TextColumns): string {
    const width = columns.length;
    const casts = [...columns.map((column) => column.cast), ...VERSION_CASTS];
    const { fields, targets, sources } = this.#targets(columns);
    const keys = texts.sql(width + 3);
    const incoming = `incoming as (
        select ${casts.map((cast, index) => `u.c${index}::${cast} as ${fields[index]}`).join(', ')},
          u.c${width + 3} as "cqrs:key", u.n as "cqrs:n"
        from ${unnest(width + 4, texts.sql)}
      )`;
    const insert = `insert into ${this.name} as t (${targets.join(', ')})
      select ${sources.join(', ')} from incoming
      where not "cqrs:key" = any(array(select d.key from ${tombstones} d where d.cqrs_id = $${width + 5} and d.key = any(${keys})))
      order by "cqrs:n"
      on conflict (${this.#keys.map((column) => this.#quote(column.field)).join(', ')}) do update
      set ${targets.map((field) => `${field} = excluded.${field}`).join(', ')}
      where t.${INCARNATION} = excluded.${INCARNATION}
        and (t.${REVISION}, t.${UPDATED}) < (excluded.${REVISION}, excluded.${UPDATED})
      returning ${this.#keyTexts('t').join(', ')}, xmax = 0 as created`;
    if (texts.form === 'arrays') {
      return `with ${incoming}, written as (${insert}) select ${this.#keys.map((_, index) => `k${index}`).join(', ')}, created::text from written`;
    }
    // The answer is packed, too: a thousand rows take longer to read than all the rest.
    const key = this.#keys.map((_, index) => `k${index}`).join(` || ${SEPARATOR_SQL} || `);
    return `with ${incoming}, written as (${insert})
      select string_agg(${key}, ${SEPARATOR_SQL}) filter (where created) as created,
        string_agg(${key}, ${SEPARATOR_SQL}) filter (where not created) as updated from written`;
  }

  /** The columns to write, ours and the one that tells subclasses apart included, and where their values come from. */
  #targets(columns: readonly ReplicaColumn[]): { fields: string[]; targets: string[]; sources: string[] } {
    const fields = [...columns.map((column) => column.field), ...VERSION_FIELDS].map((field) => this.#quote(field));
    const kind = this.#discriminator;
    return {
      fields,
      targets: kind ? [...fields, this.#quote(kind.field)] : fields,
      sources: kind ? [...fields, literal(kind.value)] : fields,
    };
  }

  /** `k0`, `k1` …: the key of a row as it prints. */
  #keyTexts(alias: string): string[] {
    return this.#keys.map(
      (column, index) => `${this.keyText(column, `${alias}.${this.#quote(column.field)}`)} as k${index}`,
    );
  }

  #upsertText(
    { columns, resets }: WriteOptions,
    condition: Exclude<WriteCondition, 'unchanged'>,
    texts: TextColumns,
  ): string {
    const { fields, targets, sources } = this.#targets(columns);
    const assignments = [...targets.map((field) => `${field} = excluded.${field}`), ...this.#resets(columns, resets)];
    const key = this.#keys.map((column) => this.#quote(column.field));
    const conflict =
      condition === 'absent'
        ? 'do nothing'
        : `do update set ${assignments.join(', ')} where ${olderText('t', 'excluded', condition)}`;
    return `with incoming as (
        select ${this.#reads(columns, fields).join(', ')}, u.n as "cqrs:n" from ${unnest(fields.length, texts.sql)}
      )
      insert into ${this.name} as t (${targets.join(', ')})
      select ${sources.join(', ')} from incoming order by "cqrs:n"
      on conflict (${key.join(', ')}) ${conflict}
      returning ${this.#keyTexts('t').join(', ')}`;
  }

  #changeText({ columns, resets }: WriteOptions, texts: TextColumns): string {
    const { fields, targets, sources } = this.#targets(columns);
    const width = fields.length;
    const assignments = [
      ...targets.map((field, index) => `${field} = ${index < width ? `e.${field}` : sources[index]!}`),
      ...this.#resets(columns, resets),
    ];
    const sameKey = this.#keys.map(({ field }) => `r.${this.#quote(field)} = e.${this.#quote(field)}`);
    const unchanged = VERSION_FIELDS.map((field, index) => `r.${field} is not distinct from e."cqrs:${index}"`);
    const expected = VERSION_CASTS.map((cast, index) => `u.c${width + index}::${cast} as "cqrs:${index}"`);
    // Row by row, and found by its place, which a change by somebody else moves: for both see `stampText`.
    return `with incoming as (
        select ${[...this.#reads(columns, fields), ...expected].join(', ')} from ${unnest(width + 3, texts.sql)}
      )
      update ${this.name} t set ${assignments.join(', ')}
      from incoming e cross join lateral (select r.tableoid, r.ctid from ${this.name} r
        where ${[...sameKey, ...unchanged].join(' and ')} offset 0) as at
      where t.ctid = at.ctid and t.tableoid = at.tableoid
      returning ${this.#keyTexts('t').join(', ')}`;
  }

  #reads(columns: readonly ReplicaColumn[], fields: readonly string[]): string[] {
    const casts = [...columns.map((column) => column.cast), ...VERSION_CASTS];
    return casts.map((cast, index) => `u.c${index}::${cast} as ${fields[index]}`);
  }

  #resets(columns: readonly ReplicaColumn[], resets: boolean): string[] {
    if (!resets) return [];
    return this.#optional
      .filter((field) => !columns.some((column) => column.field === field))
      .map((field) => `${this.#quote(field)} = default`);
  }

  /** Whether `t` has the key of the first parameters. */
  #isKey(): string {
    return this.#sameKey('t', (index) => `$${index + 1}::text::${this.#keys[index]!.cast}`);
  }

  #sameKey(alias: string, value: (index: number) => string): string {
    return this.#keys.map((column, index) => `${alias}.${this.#quote(column.field)} = ${value(index)}`).join(' and ');
  }

  /** The rows `t` whose keys are in the first parameters, found by the index. */
  #rowsByKeys(sql: (index: number) => string): string {
    const [only, ...others] = this.#keys;
    if (others.length === 0)
      return `${this.name} t where t.${this.#quote(only!.field)} = any(${sql(0)}::${only!.cast}[])`;
    const sameKey = this.#sameKey('r', (index) => `u.c${index}::${this.#keys[index]!.cast}`);
    // OFFSET keeps PostgreSQL from making a join of it
    return `${unnest(this.#keys.length, sql)} cross join lateral (select * from ${this.name} r where ${sameKey} offset 0) t`;
  }
}

export const VERSION_FIELDS = [REVISION, UPDATED, INCARNATION];
export const VERSION_CASTS = ['int', 'timestamptz', 'bigint'];

function rowColumns(columns: readonly ReplicaColumn[], rows: readonly RowTexts[]): (string | null)[][] {
  return [
    ...transpose(
      rows.map((row) => row.values),
      columns.length,
    ),
    ...versionColumns(rows.map(({ version }) => version)),
  ];
}

function fieldsOf(columns: readonly ReplicaColumn[]): string {
  return columns.map((column) => column.field).join();
}

/** Each is some kilobytes long. */
const MOST_TEXTS = 500;

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
