import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, run, succeeds } from '../support/command.ts';
import { cache } from '../support/paths.ts';
import { probe, probeUntilReady } from './probe.ts';
import type { Service } from './service.ts';

/**
 * The last resort: a Debian or Ubuntu machine of our own (a CI container), as root, mostly without systemd.
 * A package that is there is never upgraded and a server that runs is never reconfigured; all that PostgreSQL gets is
 * the role `cqrs_test`.
 */

const PACKAGES = { postgres: 'postgresql', rabbitmq: 'rabbitmq-server' } as const;
const ROLE = 'cqrs_test';
const READY_MS = 90_000;

type Say = (line: string) => void;

export function startDebianPackage(service: Service, say: Say): Promise<string> | undefined {
  const possible = process.platform === 'linux' && process.getuid?.() === 0 && succeeds(['apt-get', '--version']);
  if (!possible) return undefined;
  return service.key === 'postgres' ? startPostgres(service, say) : startRabbitmq(service, say);
}

function install(service: Service, say: Say): Promise<void> {
  return installPackage(PACKAGES[service.key], say);
}

/** Installs a package that is not there, as root on Debian or Ubuntu. */
export async function installPackage(name: string, say: Say): Promise<void> {
  if (await isInstalled(name)) return;
  say(`installing the Debian package ${name}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run(['apt-get', 'update', '-qq'], { env });
  await run(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', name], { env });
}

async function isInstalled(name: string): Promise<boolean> {
  const query = ['dpkg-query', '--show', '--showformat', '${db:Status-Status}', name];
  return succeeds(query) && (await capture(query)).trim() === 'installed';
}

async function startPostgres(service: Service, say: Say): Promise<string> {
  await install(service, say);
  const password = keptPassword();
  const url = `postgresql://${ROLE}:${password}@127.0.0.1:${service.port}/postgres`;
  if ('version' in (await probe(service, url))) return url;
  const clusters = parseClusters(await capture(['pg_lsclusters', '--no-header']));
  const cluster = clusters.find(({ port }) => port === service.port);
  if (!cluster) {
    const version = clusters[0]?.version ?? (await newestPostgres());
    say(`creating a PostgreSQL ${version} cluster on port ${service.port}`);
    await run(['pg_createcluster', version, `cqrs_test_${service.port}`, '--port', String(service.port), '--start']);
  } else if (!cluster.online) {
    say(`starting PostgreSQL ${cluster.version} on port ${service.port}`);
    await run(['pg_ctlcluster', cluster.version, cluster.name, 'start']);
  }
  say(`creating the PostgreSQL role ${ROLE}`);
  await createRole(service.port, password);
  await probeUntilReady(service, url, READY_MS);
  return url;
}

/** As the system's user postgres, whom Debian lets in without a password. */
async function createRole(port: number, password: string): Promise<void> {
  const psql = `psql -qX -v ON_ERROR_STOP=1 -p ${port} -c "${roleSql(password)}"`;
  await run(['su', 'postgres', '-s', '/bin/sh', '-c', psql], { label: `creating the role ${ROLE}`, cwd: '/' });
}

/** `pg_lsclusters --no-header`: version, name, port, status, … */
export function parseClusters(text: string): { version: string; name: string; port: number; online: boolean }[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns.length >= 4)
    .map(([version, name, port, status]) => ({
      version: version!,
      name: name!,
      port: Number(port),
      online: status!.startsWith('online'),
    }));
}

async function newestPostgres(): Promise<string> {
  const versions = (await capture(['ls', '/usr/lib/postgresql'])).split('\n').filter(Boolean).map(Number);
  return String(Math.max(...versions));
}

/** Superuser, as the role `postgres` of the other ways is: the tests end each other's connections. */
export function roleSql(password: string): string {
  return (
    `do 'begin if not exists (select from pg_roles where rolname = ''${ROLE}'') then create role ${ROLE}; end if; end';` +
    ` alter role ${ROLE} login superuser password '${password}'`
  );
}

/** Kept beside the checkout, so that a second run at the same time does not lock the first one out. */
function keptPassword(): string {
  const file = `${cache}/postgres-password`;
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const password = randomBytes(16).toString('hex');
  mkdirSync(cache, { recursive: true });
  writeFileSync(file, password, { mode: 0o600 });
  return password;
}

async function startRabbitmq(service: Service, say: Say): Promise<string> {
  await install(service, say);
  const [url] = service.loginsOn(service.port);
  if ('version' in (await probeUntilReady(service, url!, 3_000))) return url!;
  say(`starting RabbitMQ on port ${service.port} (takes some seconds)`);
  if (existsSync('/run/systemd/system') && service.port === 5672) await run(['systemctl', 'start', 'rabbitmq-server']);
  else await run(['rabbitmq-server', '-detached'], { env: nodeOf(service.port) });
  await probeUntilReady(service, url!, READY_MS);
  return url!;
}

/** Two nodes on one machine need two names, and the second one must not listen where the first one is configured to. */
function nodeOf(port: number): Record<string, string> {
  if (port === 5672) return {};
  const config = join(tmpdir(), 'cqrs-test-rabbitmq.conf');
  writeFileSync(config, `listeners.tcp.local = 127.0.0.1:${port}\n`);
  return {
    RABBITMQ_NODENAME: `cqrs_test_${port}@localhost`,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_CONFIG_FILE: config,
  };
}
