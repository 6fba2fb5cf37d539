import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';

export interface OwnPostgres extends AsyncDisposable {
  createDatabase(name: string): Promise<string>;
}

/** Where the server's programs are; undefined where there are none. */
export function findPostgres(): string | undefined {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const folders = versions.toSorted((a, b) => Number(b) - Number(a)).map((one) => `/usr/lib/postgresql/${one}/bin`);
  return folders.find((folder) => existsSync(`${folder}/initdb`));
}

/** A server of its own on a free port, durable as by default, with these settings; it goes when it is disposed of. */
export async function startOwnPostgres(programs: string, settings: Record<string, string>): Promise<OwnPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'cqrs-bench-postgres-'));
  const user = unprivileged(folder);
  execFileSync(`${programs}/initdb`, ['-D', folder, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8'], {
    ...user,
    stdio: 'ignore',
  });
  const port = await freePort();
  const words = Object.entries({ ...settings, port: String(port), listen_addresses: '127.0.0.1' }).flatMap(
    ([name, value]) => ['-c', `${name}=${value}`],
  );
  const server = spawn(`${programs}/postgres`, ['-D', folder, '-k', folder, ...words], { ...user, stdio: 'ignore' });
  const url = (database: string): string => `postgresql://postgres@127.0.0.1:${port}/${database}`;
  try {
    await untilReady(url('postgres'), server);
  } catch (error) {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    async createDatabase(name) {
      const client = new pg.Client({ connectionString: url('postgres') });
      await client.connect();
      await client.query(`create database ${name}`);
      await client.end();
      return url(name);
    },
    async [Symbol.asyncDispose]() {
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The server refuses to run as root. */
function unprivileged(folder: string): { uid?: number; gid?: number; cwd: string } {
  if (process.getuid?.() !== 0) return { cwd: folder };
  const [uid, gid] = ['-u', '-g'].map((which) => Number(execFileSync('id', [which, 'postgres']).toString()));
  chownSync(folder, uid!, gid!);
  return { uid: uid!, gid: gid!, cwd: folder };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function untilReady(url: string, server: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL ended with ${server.exitCode}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await setTimeout(100);
    }
  }
  throw new Error('PostgreSQL did not start within 30 seconds');
}
