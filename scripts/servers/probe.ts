import { Socket } from 'node:net';
import { connect } from 'amqplib';
import pg from 'pg';
import type { Answer } from './locate.ts';
import type { Service } from './service.ts';

const TIMEOUT_MS = 5_000;

/** A port that is open proves little: only a login does. */
export async function probe(service: Service, url: string): Promise<Answer> {
  try {
    return { version: service.key === 'postgres' ? await postgresVersion(url) : await rabbitmqVersion(url) };
  } catch (error) {
    return { refused: error instanceof Error ? error.message || error.name : String(error) };
  }
}

async function postgresVersion(url: string): Promise<string> {
  const stream = new Socket();
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: TIMEOUT_MS, stream: () => stream });
  client.on('error', () => {}); // said by connect, too
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    await client.end();
    return rows[0]?.server_version.split(' ')[0] ?? 'unknown';
  } finally {
    // pg leaves a refused login open, and a backend that waits for a password holds up every DROP DATABASE of its server
    stream.destroy();
  }
}

async function rabbitmqVersion(url: string): Promise<string> {
  const connection = await connect(url, { timeout: TIMEOUT_MS });
  connection.on('error', () => {});
  const { version } = connection.connection.serverProperties;
  await connection.close();
  return version;
}

/** Logs in again and again until the server is up. */
export async function probeUntilReady(service: Service, url: string, patienceMs: number): Promise<Answer> {
  const end = Date.now() + patienceMs;
  for (;;) {
    const answer = await probe(service, url);
    if ('version' in answer || Date.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
