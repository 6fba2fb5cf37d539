import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a server of the suite's own runs as. */
export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** A port of this machine on which nobody listens at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const running = new Set<ChildProcess>();
const folders = new Set<string>();
const mounted = new Set<string>();

/** A folder for one server; goes with the process at the latest. */
export function ownFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `cqrs-${name}-`));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  folders.delete(folder);
}

/** Makes a folder one that holds little. Needs root. */
export async function mountSmall(folder: string, megabytes: number): Promise<void> {
  await tool(['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
  mounted.add(folder);
}

export function unmount(folder: string): void {
  spawnSync('umount', ['-l', folder]);
  mounted.delete(folder);
}

/** Starts a server in a process group of its own, so that a Ctrl-C reaches it only by way of us. */
export function startServer(command: readonly string[], log: string, { env, ...identity }: Identity): ChildProcess {
  const output = createWriteStream(log, { flags: 'a' });
  const server = spawn(command[0]!, command.slice(1), {
    ...identity,
    env: { ...process.env, ...env },
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  server.stdout!.pipe(output);
  server.stderr!.pipe(output, { end: false });
  server.on('error', () => {}); // found out by whoever waits until it answers
  running.add(server);
  server.once('exit', () => running.delete(server));
  return server;
}

export function ended(server: ChildProcess): boolean {
  return server.exitCode !== null || server.signalCode !== null || server.pid === undefined;
}

/** Signals the server with everything it has started, and waits for its end. */
export async function endServer(server: ChildProcess, signal: NodeJS.Signals, scope: 'server' | 'group' = 'group') {
  if (ended(server)) return;
  const gone = once(server, 'exit');
  process.kill(scope === 'group' ? -server.pid! : server.pid!, signal);
  await gone;
}

/** Runs a tool to its end. @returns what it printed @throws with what it complained about */
export async function tool(
  command: readonly string[],
  { env, cwd = '/', ...identity }: Identity & { readonly cwd?: string } = {},
): Promise<string> {
  const child = spawn(command[0]!, command.slice(1), {
    ...identity,
    env: { ...process.env, ...env },
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => said.push(data));
  child.stderr.on('data', (data: Buffer) => said.push(data));
  const [code] = (await once(child, 'close')) as [number | null];
  const text = Buffer.concat(said).toString();
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${text.trim()}`);
  return text;
}

/** A server that the suite cannot start; says what helps. */
export function missing(what: string): Error {
  return new Error(
    `The faults are brought upon servers that this suite starts itself, and ${what} is not installed on this machine. ` +
      'On Debian or Ubuntu: apt-get install postgresql rabbitmq-server',
  );
}

// Whatever ends this process, no server outlives it.
process.once('exit', () => {
  for (const server of running) if (server.pid !== undefined) kill(-server.pid);
  for (const folder of mounted) unmount(folder);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

function kill(group: number): void {
  try {
    process.kill(group, 'SIGKILL');
  } catch {
    // it was faster
  }
}
