import { type ChangeSet, ChangeSetType, type EntityManager, type EntityProperty, type Platform } from '@mikro-orm/core';
import { formatMicroseconds, parseMicroseconds } from '../../../wire/times.js';
import { cutToDate } from '../definition/property-values.js';
import { columnsOf, OWN_PROPERTIES, type ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { SqlSession } from '../rows/sql-session.js';
import { isTime, type Stamp, type StampedRow } from './stamps.js';

/**
 * Lets a flush store the versions of a replica's rows with the rows themselves, to the microsecond:
 *
 *   em.flush ─▶ change sets ─▶ the driver's INSERT: with versions and exact times in place of `Date`s
 *                         └─▶ the driver's UPDATE of many rows: one statement of ours, values bound as texts
 *
 * MikroORM's own UPDATE of many rows spells each key once a column (`case when "id" = 1 then … when "id" = 2 …`), which
 * PostgreSQL compares row by row. What cannot be told for certain is left to MikroORM as it is, and stamped afterwards.
 */
export class StampedFlush {
  /** By the transaction that a flush writes in. */
  readonly #running = new WeakMap<object, Flush>();

  /** @param root the service's EntityManager; forks know its subscribers, and MikroORM's own beside them. */
  constructor(private readonly root: EntityManager) {
    this.#wrap(root.getDriver() as unknown as FlushingDriver);
  }

  /**
   * Flushes, and answers whose row and version are stored for certain, and whether an UPDATE of the replica's table met fewer
   * rows than it was to: they are gone, or the database has kept it back. @param stamps by the entity of the row.
   */
  async flush(
    em: EntityManager,
    definition: ReplicaDefinition,
    stamps: ReadonlyMap<object, Stamp>,
  ): Promise<{ readonly stored: ReadonlySet<Stamp>; readonly missed: boolean }> {
    const transaction = em.getTransactionContext<object>()!;
    const flush = new Flush(em, definition, stamps);
    this.#running.set(transaction, flush);
    try {
      await em.flush();
    } finally {
      this.#running.delete(transaction);
    }
    // What a subscriber does behind the statement might be to the same rows, and so might a deletion, through a foreign key.
    const certain = !flush.deletes && !hasListeners(this.root);
    return { stored: certain ? flush.stored : new Set(), missed: flush.missed };
  }

  #wrap(driver: FlushingDriver): void {
    const insertMany = driver.nativeInsertMany.bind(driver);
    driver.nativeInsertMany = async (entity, data, options, ...rest) => {
      const flush = this.#flushOf(driver, entity, options);
      if (!flush) return insertMany(entity, data, options, ...rest);
      const { rows, stamped } = flush.exact(data);
      const result = await insertMany(entity, rows, options, ...rest);
      // A trigger may have kept some of them back.
      if ((result as { affectedRows?: number }).affectedRows === rows.length)
        for (const stamp of stamped) flush.stored.add(stamp);
      return result;
    };
    const updateMany = driver.nativeUpdateMany.bind(driver);
    driver.nativeUpdateMany = async (entity, where, data, options, ...rest) => {
      const flush = options?.upsert ? undefined : this.#flushOf(driver, entity, options);
      const affectedRows = await flush?.update(data);
      const result =
        affectedRows === undefined ? await updateMany(entity, where, data, options, ...rest) : { affectedRows };
      flush?.look(result, data.length);
      return result;
    };
    const updateOne = driver.nativeUpdate.bind(driver);
    driver.nativeUpdate = async (entity, where, data, options, ...rest) => {
      const result = await updateOne(entity, where, data, options, ...rest);
      if (!options?.upsert) this.#flushOf(driver, entity, options)?.look(result, 1);
      return result;
    };
  }

  #flushOf(driver: FlushingDriver, entity: unknown, options: DriverOptions | undefined): Flush | undefined {
    const flush = options?.ctx && this.#running.get(options.ctx);
    const meta = flush && driver.metadata.find(entity);
    return meta && driver.getTableName(meta, options) === flush.tableName ? flush : undefined;
  }
}

/** One flush, and what it has stored. */
class Flush {
  readonly stored = new Set<Stamp>();
  /** Whether it deletes rows, which it does last. */
  deletes = false;
  /** Whether an UPDATE met fewer rows than it was to. */
  missed = false;

  constructor(
    private readonly em: EntityManager,
    private readonly definition: ReplicaDefinition,
    private readonly stamps: ReadonlyMap<object, Stamp>,
  ) {}

  get tableName(): string {
    return this.definition.table!.name;
  }

  /** The rows of an INSERT with their exact versions and times, and the stamps that they then have. */
  exact(data: readonly Row[]): { rows: Row[]; stamped: Stamp[] } {
    const stampOf = this.#stampsByPayload();
    const stamped: Stamp[] = [];
    const rows = data.map((row) => {
      const stamp = stampOf.get(row);
      // A version that the hook has not set is the database's to set, and MikroORM's to ask for.
      if (!stamp || !('cqrsRevision' in row && 'cqrsUpdated' in row) || !this.#hasKey(row, stamp)) return row;
      if (stamp.exact.every(({ column }) => isTime(column))) stamped.push(stamp);
      const { revision, updated, incarnation } = stamp.version;
      const times = this.#timesOf(stamp).filter(({ column, text }) => isCut(row[column.property.name], text));
      return {
        ...row,
        ...Object.fromEntries(times.map(({ column, text }) => [column.property.name, text])),
        cqrsRevision: revision,
        cqrsUpdated: formatMicroseconds(updated),
        cqrsIncarnation: incarnation,
      };
    });
    return { rows, stamped };
  }

  /** Looks at the answer of an UPDATE. */
  look(result: unknown, rows: number): void {
    const { affectedRows } = result as { affectedRows?: number };
    if (affectedRows !== undefined && affectedRows < rows) this.missed = true;
  }

  /** Does an UPDATE of many rows. @returns how many there were; undefined when it is not one that can be done here. */
  async update(data: readonly Row[]): Promise<number | undefined> {
    const { meta, table } = this.definition;
    if (meta.versionProperty || meta.concurrencyCheckKeys.size > 0) return undefined;
    if (meta.props.some((property) => property.generated && !property.primary)) return undefined;
    const groups = this.#groups(data);
    if (!groups) return undefined;
    const session = new SqlSession(this.em);
    const answers = await session.runAll(groups.map(({ columns, rows }) => table!.stamp(columns, rows)));
    let count = 0;
    for (const [index, { rows, stamps }] of groups.entries()) {
      const { alive } = answers[index]![0] as { alive: string | null };
      const found = alive === null ? 0 : alive.split(',').length;
      count += found;
      if (found !== rows.length) continue;
      for (const stamp of stamps) if (stamp.exact.every(({ column }) => isTime(column))) this.stored.add(stamp);
    }
    return count;
  }

  /** Rows that change the same columns; undefined when there is one that only MikroORM can write. */
  #groups(data: readonly Row[]): Group[] | undefined {
    const stampOf = this.#stampsByPayload();
    const entityOf = new Map(this.#changeSets().map(({ entity, payload }) => [payload as object, entity as Row]));
    const groups = new Map<string, Group>();
    for (const row of data) {
      const stamp = stampOf.get(row);
      // A hook may have answered with another row than that of its message.
      if (!stamp || !this.#hasKey(entityOf.get(row)!, stamp)) return undefined;
      const names = Object.keys(row).filter((name) => !OWN_PROPERTIES.has(name));
      const shape = names.join();
      let group = groups.get(shape);
      if (!group) {
        const columns = names.map((name) => this.#columnOf(name));
        if (!columns.every((column) => column !== undefined) || groups.size === MAX_GROUPS) return undefined;
        groups.set(shape, (group = { columns, rows: [], stamps: [] }));
      }
      const values = names.map((name, index) => textOf(group.columns[index]!, row[name], this.#timesOf(stamp)));
      if (!values.every((value) => value !== undefined)) return undefined;
      group.rows.push({ ...stamp, values });
      group.stamps.push(stamp);
    }
    return [...groups.values()];
  }

  /** A change set's payload is what the driver gets, the object itself. */
  #stampsByPayload(): Map<object, Stamp> {
    const stamps = new Map<object, Stamp>();
    for (const { entity, payload, type } of this.#changeSets()) {
      this.deletes ||= type === ChangeSetType.DELETE;
      const stamp = this.stamps.get(entity);
      if (stamp) stamps.set(payload, stamp);
    }
    return stamps;
  }

  /** Without those that MikroORM writes in a time zone of its own. */
  #timesOf({ exact }: Stamp): Stamp['exact'] {
    const all = this.em.config.get('forceUtcTimezone');
    return exact.filter(({ column }) => (all ? isTime(column) : column.kind === 'datetime'));
  }

  #changeSets(): ChangeSet<object>[] {
    return this.em.getUnitOfWork().getChangeSets() as ChangeSet<object>[];
  }

  #columnOf(name: string): ReplicaColumn | undefined {
    const { meta, columns } = this.definition;
    const property = (meta.properties[name as never] ?? meta.root.properties[name as never]) as
      | EntityProperty
      | undefined;
    if (!property || !isPlain(property, this.em.getPlatform())) return undefined;
    // The same object for the same column: it is looked for among the times of a stamp.
    const column = columns.find((one) => one.property.name === name) ?? columnsOf(meta, property)[0];
    return column && PLAIN_TYPE.test(column.cast) && !column.kind.startsWith('unsupported') ? column : undefined;
  }

  /** Whether a new row is the one that its message is about. */
  #hasKey(row: Row, { key }: Stamp): boolean {
    return this.definition.keyColumns.every(({ property }, index) => {
      const value = row[property.name];
      return typeof value === 'string'
        ? value === key[index]
        : NUMERIC.has(typeof value) && `${value as number}` === key[index];
    });
  }
}

const NUMERIC: ReadonlySet<string> = new Set(['number', 'bigint']);

/** More statements than that are no saving. */
const MAX_GROUPS = 4;

/** A type that needs neither quotes nor a schema. */
const PLAIN_TYPE = /^[a-z][a-z0-9_ ]*(?:\[\])*$/;

interface Group {
  readonly columns: readonly ReplicaColumn[];
  readonly rows: StampedRow[];
  readonly stamps: Stamp[];
}

/** Whether a value of the property is one value of one column, as it stands. */
function isPlain(property: EntityProperty, platform: Platform): boolean {
  if (property.primary || property.fieldNames.length !== 1 || property.polymorphic || property.object) return false;
  if (property.stiFieldNames) return false;
  // A bare cast is what its value gets here, too.
  const sql = property.customType?.convertToDatabaseValueSQL?.('?', platform);
  return sql === undefined || /^\?(?:::\w+)?$/.test(sql);
}

/** What a change set has of a column, as PostgreSQL reads it; undefined when only MikroORM knows. */
function textOf(column: ReplicaColumn, value: unknown, times: Stamp['exact']): string | null | undefined {
  const { kind } = column;
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return kind === 'boolean' ? String(value) : undefined;
  if (typeof value === 'bigint') return NUMBERS.has(kind) ? String(value) : undefined;
  if (typeof value === 'number') return NUMBERS.has(kind) && Number.isFinite(value) ? String(value) : undefined;
  if (value instanceof Uint8Array) return kind === 'binary' ? `\\x${Buffer.from(value).toString('hex')}` : undefined;
  if (!(value instanceof Date)) return undefined;
  const exact = times.find((time) => time.column === column);
  if (exact && isCut(value, exact.text)) return exact.text;
  const year = value.getUTCFullYear();
  return kind === 'datetime' && year > 0 && year <= 9999 ? value.toISOString() : undefined;
}

const NUMBERS: ReadonlySet<string> = new Set(['integer', 'float', 'decimal']);

/** Whether a `Date` is this time, as hooks are given it. */
function isCut(value: unknown, text: string): boolean {
  const micros = parseMicroseconds(text);
  return value instanceof Date && micros !== undefined && cutToDate(micros).getTime() === value.getTime();
}

const AFTERWARDS = ['afterCreate', 'afterUpdate', 'afterDelete', 'afterUpsert', 'afterFlush'] as const;

/** Whether code of a user's runs between the statements of a flush and its end. */
function hasListeners(em: EntityManager): boolean {
  const subscribers = [...em.getEventManager().getSubscribers()];
  if (subscribers.some((subscriber) => AFTERWARDS.some((event) => event in subscriber))) return true;
  return [...em.getMetadata().getAll().values()].some((meta) =>
    AFTERWARDS.some((event) => (meta.hooks[event as never] as unknown[] | undefined)?.length),
  );
}

type Row = Record<string, unknown>;

interface DriverOptions {
  readonly ctx?: object;
  readonly upsert?: boolean;
}

/** The parts of a driver that a flush writes through. */
interface FlushingDriver {
  readonly metadata: { find(entity: unknown): ReplicaDefinition['meta'] | undefined };
  getTableName(meta: ReplicaDefinition['meta'], options: DriverOptions | undefined): string;
  nativeInsertMany(entity: unknown, data: Row[], options?: DriverOptions, ...rest: unknown[]): Promise<object>;
  nativeUpdate(
    entity: unknown,
    where: unknown,
    data: Row,
    options?: DriverOptions,
    ...rest: unknown[]
  ): Promise<object>;
  nativeUpdateMany(
    entity: unknown,
    where: unknown[],
    data: Row[],
    options?: DriverOptions,
    ...rest: unknown[]
  ): Promise<object>;
}
