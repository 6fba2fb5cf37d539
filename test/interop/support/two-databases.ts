import { expect } from '@jest/globals';
import pg from 'pg';
import { eventually } from './eventually.js';

/** A row with PostgreSQL's own text for each value: nothing is rounded on the way into the comparison. */
export type TextRow = Readonly<Record<string, string | null>>;

/** The master's and the replica's database, looked at from outside both services. */
export class TwoDatabases implements AsyncDisposable {
  private constructor(
    private readonly masterClient: pg.Client,
    private readonly replicaClient: pg.Client,
  ) {}

  static async open(urls: { master: string; replica: string }): Promise<TwoDatabases> {
    const [master, replica] = await Promise.all([connect(urls.master), connect(urls.replica)]);
    return new TwoDatabases(master, replica);
  }

  master = (sql: string) => textRows(this.masterClient, sql);
  replica = (sql: string) => textRows(this.replicaClient, sql);

  /**
   * Waits until the replica's table has the rows of the master's, the same in every column of the master, and answers
   * with them. `cqrs_incarnation` is left out, which only one side has.
   */
  async same(table: string): Promise<TextRow[]> {
    const columns = await this.master(
      `select quote_ident(a.attname) as name
        from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)
        where a.attrelid = '${table}'::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> 'cqrs_incarnation'
        order by i.indrelid nulls last, a.attnum`,
    );
    // the key is the first
    return this.sameRows(`select ${columns.map(({ name }) => name).join(', ')} from ${table} order by 1`);
  }

  /** Waits until both queries, which say in which order, have the same answers. */
  async sameRows(onMaster: string, onReplica = onMaster): Promise<TextRow[]> {
    const look = async () => ({ master: await this.master(onMaster), replica: await this.replica(onReplica) });
    const { master, replica } = await eventually(
      look,
      (seen) => JSON.stringify(seen.master) === JSON.stringify(seen.replica),
    );
    expect(replica).toEqual(master);
    return replica;
  }

  /** Waits until the replica answers so. */
  async replicaHas(sql: string, rows: readonly TextRow[]): Promise<void> {
    const seen = await eventually(
      () => this.replica(sql),
      (found) => JSON.stringify(found) === JSON.stringify(rows),
    );
    expect(seen).toEqual(rows);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.masterClient.end(), this.replicaClient.end()]);
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, options: '-c timezone=UTC' });
  await client.connect();
  return client;
}

async function textRows(client: pg.Client, sql: string): Promise<TextRow[]> {
  const asTheyCome = { getTypeParser: () => (text: string) => text };
  const { rows } = await client.query<Record<string, string | null>>({ text: sql, types: asTheyCome as never });
  return rows;
}
