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
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: TIMEOUT_MS });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version.split(' ')[0] ?? 'unknown';
  } finally {
    await client.end();
  }
}

async function rabbitmqVersion(url: string): Promise<string> {
  const connection = await connect(url, { timeout: TIMEOUT_MS });
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
