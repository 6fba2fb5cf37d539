import pg from 'pg';
import { createDatabase } from '../../test/support/database.ts';
import { consumeRaw, REPLICA_DDL } from '../twins/consumer.ts';
import type { BenchBroker } from './broker.ts';

export interface RawReader extends AsyncDisposable {
  clear(): Promise<void>;
  /** Consumes so many messages; answers how many a second. */
  drain(count: number): Promise<number>;
}

/** The leanest consumer, with a table of its own. */
export async function openRawReader(broker: BenchBroker, queue: string): Promise<RawReader> {
  const database = await createDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(REPLICA_DDL);
  return {
    clear: async () => void (await client.query('truncate product_copies')),
    async drain(count) {
      const channel = await broker.connection.createChannel();
      let applied = 0;
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const startedAt = performance.now();
      const running = await consumeRaw(channel, queue, client, (keys) => {
        applied += keys.length;
        if (applied >= count) resolve();
      });
      await done;
      const rate = (count / (performance.now() - startedAt)) * 1000;
      await running.stop();
      await channel.close();
      return rate;
    },
    async [Symbol.asyncDispose]() {
      await client.end();
      await database.drop();
    },
  };
}
