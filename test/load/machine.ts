import { cpus, totalmem } from 'node:os';
import { connect } from 'amqplib';
import { Client } from 'pg';
import type { Scene } from './scene.ts';

/** What the figures were measured on, in one line. */
export async function machine({ masterUrl, amqpUrl }: Scene): Promise<string> {
  const client = new Client({ connectionString: masterUrl });
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('show server_version');
  await client.end();
  const model = await connect(amqpUrl);
  const { version } = model.connection.serverProperties as { version?: string };
  await model.close();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`;
  const servers = `PostgreSQL ${rows[0]!.server_version.split(' ')[0]}, RabbitMQ ${version}`;
  return `${cpus().length} cores, ${memory}, Node ${process.version.slice(1)}, ${servers}, all on one machine`;
}
