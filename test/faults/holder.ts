import pg from 'pg';
import type { Stage } from './stage.ts';
import { eventually } from './within.ts';

/** Somebody else's session, with a transaction that has done something and stays open. */
export class Holder implements AsyncDisposable {
  #released: Promise<void> | undefined;

  constructor(private readonly client: pg.Client) {}

  /** Resolves once somebody waits for it, with a statement like this one: others may wait, too. */
  async untilWaiting({ servers }: Stage, statement = '%'): Promise<void> {
    const pid = (this.client as unknown as { processID: number }).processID;
    const blocked = `select from pg_stat_activity where wait_event_type = 'Lock' and ${pid} = any(pg_blocking_pids(pid)) and query like '${statement}'`;
    const found = await eventually(15_000, async () => (await servers.postgres.sql(blocked)).length > 0);
    if (!found) throw new Error('nobody waits for the lock');
  }

  async run(sql: string): Promise<void> {
    await this.client.query(sql);
  }

  release(): Promise<void> {
    return (this.#released ??= this.client.end());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

export async function holding(url: string, sql: string): Promise<Holder> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  await client.query(`begin; ${sql}`);
  return new Holder(client);
}
