import { CompiledQuery } from 'kysely';
import { type Problem, UnsupportedWriteError } from '../../../kernel/errors.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import type { DriverType } from '../definition/driver-values.js';
import type { SqlConnection, TransactionContext } from '../mikro-orm-internals.js';

/**
 * Texts that PostgreSQL prints otherwise under other settings of the session; payloads are made of them.
 *
 * The settings are looked at when the service starts. A transaction may change them later, by `SET LOCAL`, `set_config` or
 * a function that does, and nothing says so. Each row that capture reads therefore ends with a constant for each setting
 * that its columns depend on: what that looks like says how the others were printed. A table without such columns has none
 * of them. `DateStyle` shows in `cqrs_updated`. What is printed otherwise is refused, and its transaction with it.
 */

interface SessionSetting {
  readonly name: string;
  readonly wanted: string;
  readonly why: string;
  /** A constant, in SQL. */
  readonly constant: string;
  /** What it looks like under the setting that is wanted. */
  readonly prints: string;
  /** The types whose columns depend on it. */
  readonly oids: readonly number[];
  /** Refused at start even if no column depends on it. */
  readonly always?: true;
}

const SETTINGS: readonly SessionSetting[] = [
  {
    name: 'DateStyle',
    wanted: 'ISO',
    why: 'dates would travel in a form no replica reads',
    constant: `date '1970-01-31'`,
    prints: '1970-01-31',
    oids: [],
    always: true,
  },
  {
    name: 'IntervalStyle',
    wanted: 'postgres',
    why: 'intervals would travel in a form that replicas read otherwise',
    constant: `interval '-1 day -01:00'`,
    prints: '-1 days -01:00:00',
    oids: [1186, 1187],
  },
  {
    name: 'bytea_output',
    wanted: 'hex',
    why: 'bytes would travel damaged',
    constant: `decode('01', 'hex')`,
    prints: '\\x01',
    oids: [17, 1001],
    always: true,
  },
  {
    name: 'extra_float_digits',
    wanted: '1',
    why: 'numbers would travel rounded',
    constant: '0.30000000000000004::float8',
    prints: '0.30000000000000004',
    oids: [700, 701, 1021, 1022],
    always: true,
  },
  {
    name: 'lc_monetary',
    wanted: 'C',
    why: 'amounts of money would travel in the currency and with the commas of this database',
    constant: '1234.5::numeric::money',
    prints: '$1,234.50',
    oids: [790, 791],
  },
];

/** What the columns of one table depend on. */
export class RowSettings {
  /** Only ever grows: rows may be on their way that end with the first of these. */
  readonly #settings: SessionSetting[] = [];

  constructor(private readonly entity: string) {}

  add(types: readonly DriverType[]): void {
    for (const setting of SETTINGS) {
      if (this.#settings.includes(setting) || !types.some((type) => dependsOn(type, setting))) continue;
      this.#settings.push(setting);
    }
  }

  /** What a row ends with: expressions in SQL. */
  get constants(): string[] {
    return this.#settings.map(({ constant }) => constant);
  }

  get names(): string[] {
    return this.#settings.map(({ name }) => name);
  }

  /**
   * @param from the place of the first constant in the fields of a row. @param updated that of `cqrs_updated`.
   * @throws SessionSettingError when the session prints otherwise.
   */
  check(fields: readonly (string | null)[], from: number, updated: number): void {
    for (let at = from; at < fields.length; at++) {
      const setting = this.#settings[at - from]!;
      if (fields[at] !== setting.prints) throw new SessionSettingError(this.entity, setting);
    }
    if (!ISO.test(fields[updated] ?? '')) throw new SessionSettingError(this.entity, SETTINGS[0]!);
  }
}

const ISO = /^\d{4,6}-\d\d-\d\d /;

function dependsOn({ oid, composed }: DriverType, { oids }: SessionSetting): boolean {
  return oids.length > 0 && (composed || (oid !== undefined && oids.includes(oid)));
}

/** A session that prints otherwise than replicas read. */
export class SessionSettingError extends UnsupportedWriteError {
  constructor(entity: string, { name, wanted, why }: SessionSetting) {
    super(
      entity,
      `${name} has been changed in its session, and ${why}`,
      `Write masters under ${name} = '${wanted}': set it back before, or read with the other setting in a transaction of its own.`,
      { setting: name },
    );
    // Known by the name that the documentation has.
    this.name = UnsupportedWriteError.name;
  }
}

/**
 * Lets a transaction fail whatever its owner does next: the row has been changed, and nobody could say how.
 * PostgreSQL then answers its COMMIT with a ROLLBACK.
 */
export async function abort(connection: SqlConnection, transaction: TransactionContext): Promise<void> {
  const failing = `select 'the transaction is given up by mikro-orm-cqrs'::int`;
  await connection.execute(failing, [], 'run', transaction).catch(() => {});
}

/** Settings of a new session under which rows would travel in another form. @param rows of the masters. */
export async function checkSession(client: Executor, rows: readonly RowSettings[]): Promise<Problem[]> {
  const needed = new Set(rows.flatMap(({ names }) => names));
  const settings = SETTINGS.filter(({ name, always }) => always || needed.has(name));
  const columns = settings.map(
    ({ name, constant }, index) => `(${constant})::text as "c${index}", current_setting('${name}') as "v${index}"`,
  );
  const { rows: answers } = await client.executeQuery<Record<string, string>>(
    CompiledQuery.raw(`select ${columns.join(', ')}`) as CompiledQuery<Record<string, string>>,
  );
  const [found] = answers;
  return settings.flatMap(({ name, prints, wanted, why }, index) =>
    found![`c${index}`] === prints
      ? []
      : {
          where: 'database',
          what: `${name} is '${found![`v${index}`]}' for this connection: ${why}.`,
          cure: `Set it for the role that MikroORM connects with: alter role … set ${name} = '${wanted}'.`,
        },
  );
}
