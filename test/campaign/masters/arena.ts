import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs, MemoryBroker, MemoryTransport } from '../../../src/index.js';
import { OwnPostgres } from '../../faults/servers/own-postgres.ts';
import { eventually } from '../../faults/within.ts';
import { type Committed, DecodedTransactions } from './decoding.ts';
import { MadeLater } from './made-later.ts';
import type { CaptureMode } from './mode.ts';
import { letDatabaseWrite } from './operations/database.ts';
import { populate } from './populate.ts';
import { replicaDifferences, REPLICAS } from './replicas.ts';
import { openMasters, type Service } from './service.ts';
import { TABLES } from './tables.ts';

const QUEUE = 'campaign_replica';
const SETTLED_MS = 60_000;

/** A server of its own with both databases, a relay, a consumer, and a slot that sees what was committed. */
export class Arena implements AsyncDisposable {
  readonly #madeLater = new MadeLater();

  private constructor(
    private readonly postgres: OwnPostgres,
    private readonly master: Service,
    /** What the replica could not take, and what the relay could not make. */
    readonly dead: string[],
    private readonly eyes: readonly [master: pg.Client, replica: pg.Client],
    private readonly decoded: DecodedTransactions,
    private readonly mode: CaptureMode,
    private readonly end: () => Promise<void>,
  ) {}

  static async open(mode: CaptureMode): Promise<Arena> {
    const postgres = await OwnPostgres.create({
      settings: {
        wal_level: 'logical',
        max_replication_slots: '4',
        deadlock_timeout: '50ms',
        synchronous_commit: 'off',
      },
    });
    await postgres.sql('create database master');
    await postgres.sql('create database replica');
    const broker = new MemoryBroker();
    const common = { exchange: 'campaign', activity: { intervalSeconds: 60 } };
    const master = await openMasters(postgres.url('master'), mode.name, {
      ...common,
      transport: new MemoryTransport(broker),
      // one at a time: so it can be told which change a message was made of
      relay: { pollIntervalMs: 100, ...(mode.madeLater ? { batchSize: 1 } : {}) },
    });
    await master.orm.schema.create();
    const cqrs = new Cqrs({
      ...common,
      transport: new MemoryTransport(broker),
      queue: QUEUE,
      replica: { retryDelaySeconds: 0.2 },
    });
    const orm = await MikroORM.init({
      clientUrl: postgres.url('replica'),
      entities: [...REPLICAS],
      extensions: [cqrs],
    });
    await orm.schema.create();
    const eyes = [await connect(postgres.url('master')), await connect(postgres.url('replica'))] as const;
    for (const { name } of TABLES) await eyes[0].query(`alter table ${name} replica identity full`);
    if (mode.captures.has('cascade')) await letDatabaseWrite(eyes[0]);
    if (mode.madeLater) await eyes[0].query('alter table cqrs_captured replica identity full');
    const slot = await connect(postgres.url('master'));
    const tables = [...TABLES.map(({ name }) => name), 'cqrs_outbox', 'cqrs_captured'];
    const decoded = await DecodedTransactions.begin(slot, tables);
    const dead: string[] = [];
    cqrs.events.on('cqrs.inbox.dead-lettered', ({ cqrsId, error }) => {
      dead.push(`a dead letter of ${cqrsId}: ${String(error).slice(0, 300)}`);
    });
    master.cqrs.events.on('cqrs.master.set-aside', ({ entity, instancePk, reason }) => {
      dead.push(`no message of a change of ${entity} ${instancePk}: ${reason.slice(0, 300)}`);
    });
    const consumer = cqrs.createConsumer();
    await consumer.start();
    const relay = master.cqrs.createRelay();
    await relay.start();
    const end = async (): Promise<void> => {
      await Promise.all([relay.stop(), consumer.stop()]);
      await Promise.all([master.cqrs.stop(), cqrs.stop()]);
      await Promise.all([master.orm.close(), orm.close()]);
      await Promise.all([...eyes, slot].map((client) => client.end()));
    };
    return new Arena(postgres, master, dead, eyes, decoded, mode, end);
  }

  get url(): string {
    return this.postgres.url('master');
  }

  /** Everything as in the beginning of a round. Nobody writes meanwhile. */
  async begin(seed: number): Promise<void> {
    const [master, replica] = this.eyes;
    await master.query('set session_replication_role = replica');
    for (const { name } of TABLES) await master.query(`delete from ${name}`);
    await master.query('set session_replication_role = origin');
    await master.query('delete from c_audit');
    for (const sequence of ['c_person_id_seq', 'c_badge_id_seq']) {
      // beyond the keys that programs choose
      await master.query(`alter sequence ${sequence} restart with 1000`);
    }
    const { rows } = await replica.query<{ name: string }>(
      "select tablename as name from pg_tables where schemaname = 'public' and (tablename like 'r\\_%' or tablename = 'cqrs_tombstones')",
    );
    for (const { name } of rows) await replica.query(`delete from ${name}`);
    await this.take();
    await populate(this.master.orm, seed);
  }

  /** What was committed since the last time, with its messages. */
  async take(): Promise<Committed[]> {
    const committed = await this.decoded.take();
    return this.mode.madeLater ? this.#madeLater.add(committed) : committed;
  }

  /** Until each change has its messages. @returns what is wrong, if the relay gets no further */
  async untilMade(): Promise<string | undefined> {
    if (!this.mode.madeLater) return undefined;
    const count = async (): Promise<number> => {
      const { rows } = await this.eyes[0].query<{ count: number }>('select count(*)::int as count from cqrs_captured');
      return rows[0]!.count;
    };
    for (let left = await count(); left > 0;) {
      const former = left;
      if (!(await eventually(SETTLED_MS, async () => (left = await count()) < former))) {
        return `${former} changes have no messages, and the relay makes none`;
      }
    }
    return undefined;
  }

  /** Ends some connections of the writers. @returns how many */
  async terminate(part: number): Promise<number> {
    const { rowCount } = await this.eyes[0].query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'campaign writer' and pid % 4 = $1",
      [part % 4],
    );
    return rowCount ?? 0;
  }

  /** Until everything is with the replica. @returns rows that differ */
  async settle(): Promise<string[]> {
    await this.master.cqrs.sync({ cqrsId: 'loose' }); // what no mode has seen, as the guide says
    const [master, replica] = this.eyes;
    const read =
      (client: pg.Client) =>
      async (text: string): Promise<{ row: string }[]> =>
        (await client.query<{ row: string }>(text)).rows;
    let differences: string[] = [];
    const settled = await eventually(SETTLED_MS, async () => {
      if (((await this.master.cqrs.outboxState())?.depth ?? 0) > 0) return false;
      differences = await replicaDifferences(read(master), read(replica));
      return differences.length === 0;
    });
    const problems = this.dead.splice(0);
    if (!settled) problems.push(...(differences.length > 0 ? differences : ['the outbox is not empty']));
    return problems;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
    await this.postgres[Symbol.asyncDispose]();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'campaign' });
  client.on('error', () => {});
  await client.connect();
  return client;
}
