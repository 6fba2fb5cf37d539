import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../../../src/index.js';
import { createDatabase } from '../../../support/database.js';
import { declare, type Entities, type Loose, type Scope, SEED, SERIALS, TABLES } from './entities.js';

/** A way to write that MikroORM documents. */
export interface Way {
  readonly run: (scope: Scope) => Promise<unknown>;
  /** It begins transactions itself, so its locks cannot be looked at from an outer one. */
  readonly ownTransactions?: boolean;
  /** Where a master answers otherwise on purpose: with the error of this code. */
  readonly refused?: string;
}

/** What an application, its database and everybody beside it notice. */
export interface Observed {
  readonly result: unknown;
  readonly error: { name: string; code: unknown; message: string } | undefined;
  readonly rows: Record<string, unknown>;
  /** Rows that others cannot lock, by the weakest lock that they do not get. */
  readonly rowLocks: string[];
  /** The strongest lock of each table. */
  readonly tableLocks: Record<string, string>;
  readonly advisoryLocks: number;
}

export interface Cost {
  readonly statements: number;
  readonly bytes: number;
}

export interface Side extends AsyncDisposable {
  observe(way: Way): Promise<Observed & { cost: Cost }>;
}

const STRENGTH = [
  'AccessShareLock',
  'RowShareLock',
  'RowExclusiveLock',
  'ShareLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];
const LOCKS = ['key share', 'share', 'no key update', 'update'];
/** Content of a row without what is ours. */
const CONTENT = `(to_jsonb(t) - 'cqrs_revision' - 'cqrs_updated' - 'cqrs_incarnation')::text as row`;
const ROLLED_BACK = Symbol('rolled back');

/** An application on a database of its own: plain, or with this library. */
export async function openApplication(
  masters: boolean,
): Promise<{ orm: MikroORM; declared: Entities; url: string; close(): Promise<void> }> {
  const database = await createDatabase();
  const { entities, ...declared } = declare(masters);
  const cqrs = new Cqrs({ transport: 'MemoryTransport' });
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: masters ? [cqrs] : [] });
  await orm.schema.create();
  // What a service asks once, at its start.
  if (masters) await cqrs.check();
  const close = async (): Promise<void> => {
    await orm.close();
    await database.drop();
  };
  return { orm, declared, url: database.url, close };
}

/** Such an application, which is looked at while it writes. */
export async function openSide(masters: boolean): Promise<Side> {
  const { orm, declared, url, close } = await openApplication(masters);
  await orm.em.getConnection().execute(`alter database ${url.split('/').at(-1)} set synchronous_commit = off`);
  const beside = new pg.Client({ connectionString: url });
  await beside.connect();
  // A way that leaves a transaction open is to fail, not to hold up those behind it.
  await beside.query(`set lock_timeout = '2s'`);
  const scope = (em: Loose): Scope => ({ ...declared, em, other: () => orm.em.fork() as Loose });
  // No TRUNCATE: it makes new files of every table, which take their time.
  const empty = [...TABLES.toReversed(), ...(masters ? ['cqrs_outbox'] : [])].map((table) => `delete from ${table}`);
  const restart = SERIALS.map((table) => `alter sequence ${table}_id_seq restart`);
  const reset = (): Promise<unknown> => beside.query([...empty, ...restart, SEED].join('; '));

  return {
    async observe(way) {
      await reset();
      const em = orm.em.fork() as Loose;
      const recorder = record();
      const { result, error } = await attempt(async () => {
        const answer = await way.run(scope(em));
        // Nothing is left to do: what we move is no change of the application's.
        if (!em.isInTransaction()) await em.flush();
        return answer;
      }).finally(() => recorder.stop());
      const rows = await contents(beside);
      const locks =
        way.ownTransactions || error
          ? { rowLocks: [], tableLocks: {}, advisoryLocks: 0 }
          : await locksOf(way, { orm, beside, scope, reset });
      return { result, error, rows, ...locks, cost: recorder.cost };
    },
    async [Symbol.asyncDispose]() {
      await beside.end();
      await close();
    },
  };
}

async function attempt(work: () => Promise<unknown>): Promise<Pick<Observed, 'result' | 'error'>> {
  try {
    const answer: unknown = await work();
    return { result: answer === undefined ? undefined : JSON.parse(JSON.stringify(answer)), error: undefined };
  } catch (caught) {
    const { name, constructor, code, message } = caught as Error & { code?: unknown };
    // MikroORM puts the statement before it.
    const reason = message
      .split(' - ')
      .at(-1)!
      .replace(/Failing row contains .*/, 'Failing row contains …');
    return { result: undefined, error: { name: `${constructor.name} ${name}`, code, message: reason } };
  }
}

async function contents(client: pg.Client): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const table of TABLES) {
    const { rows } = await client.query<{ row: string }>(`select ${CONTENT} from "${table}" t order by 1`);
    found[table] = rows.map(({ row }) => row);
  }
  return found;
}

/** Runs it once more in a transaction, which another connection looks at before it is rolled back. */
async function locksOf(
  way: Way,
  {
    orm,
    beside,
    scope,
    reset,
  }: { orm: MikroORM; beside: pg.Client; scope: (em: Loose) => Scope; reset: () => Promise<unknown> },
): Promise<Pick<Observed, 'rowLocks' | 'tableLocks' | 'advisoryLocks'>> {
  await reset();
  let found: Pick<Observed, 'rowLocks' | 'tableLocks' | 'advisoryLocks'> | undefined;
  await orm.em
    .fork()
    .transactional(async (em: Loose) => {
      await way.run(scope(em));
      await em.flush();
      const [{ pid }] = await em.execute('select pg_backend_pid() as pid');
      found = await lookAt(beside, pid as number);
      throw ROLLED_BACK;
    })
    .catch((error: unknown) => {
      if (error !== ROLLED_BACK) throw error;
    });
  return found!;
}

async function lookAt(
  client: pg.Client,
  pid: number,
): Promise<Pick<Observed, 'rowLocks' | 'tableLocks' | 'advisoryLocks'>> {
  const rowLocks: string[] = [];
  for (const table of TABLES) {
    const read = `select ${CONTENT} from "${table}" t`;
    const answers = (await client.query(
      [read, ...LOCKS.map((lock) => `${read} for ${lock} skip locked`)].join('; '),
    )) as unknown as pg.QueryResult<{ row: string }>[];
    const [all, ...lockable] = answers.map(({ rows }) => rows.map(({ row }) => row));
    for (const row of all!) {
      const refused = lockable.findIndex((those) => !those.includes(row));
      if (refused !== -1) rowLocks.push(`${table} ${row}: not for ${LOCKS[refused]}`);
    }
  }
  const { rows: held } = await client.query<{ type: string; table: string; mode: string }>(
    `select locktype as type, coalesce(relation::regclass::text, '') as table, mode from pg_locks where pid = $1`,
    [pid],
  );
  const tableLocks: Record<string, string> = {};
  for (const { table, mode } of held.filter((one) => (TABLES as readonly string[]).includes(one.table))) {
    if (STRENGTH.indexOf(mode) > STRENGTH.indexOf(tableLocks[table] ?? '')) tableLocks[table] = mode;
  }
  return {
    rowLocks: rowLocks.toSorted(),
    tableLocks,
    advisoryLocks: held.filter(({ type }) => type === 'advisory').length,
  };
}

/** Counts what the drivers of this process send, as they send it. */
function record(): { cost: Cost; stop(): void } {
  const cost = { statements: 0, bytes: 0 };
  const { prototype } = pg.Client as unknown as { prototype: { query: (...args: unknown[]) => unknown } };
  const { query } = prototype;
  prototype.query = function (this: unknown, ...args) {
    for (const text of textsOf(args[0])) {
      cost.statements += 1;
      cost.bytes += Buffer.byteLength(text);
    }
    return Reflect.apply(query, this, args);
  };
  return { cost, stop: () => void (prototype.query = query) };
}

function textsOf(sent: unknown): string[] {
  if (typeof sent === 'string') return sent.split(/;\s*(?=begin|commit|insert|update|delete|select)/);
  const { text, queries } = sent as { text?: string; queries?: readonly { text?: string }[] };
  return queries ? queries.map((one) => one.text ?? '') : [text ?? ''];
}
