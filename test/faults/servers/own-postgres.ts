import type { ChildProcess } from 'node:child_process';
import { chownSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { installPackage } from '../../../scripts/servers/debian.ts';
import { eventually } from '../within.ts';
import type { ServerTls } from './certificates.ts';
import {
  ended,
  endServer,
  freePort,
  type Identity,
  missing,
  mountSmall,
  ownFolder,
  removeFolder,
  startServer,
  tool,
  unmount,
} from './own-process.ts';

/** Nothing of it has to survive the machine, only its processes. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '64MB',
  max_connections: '200',
  wal_level: 'replica',
  max_wal_senders: '4',
  wal_retrieve_retry_interval: '100ms',
};
const TLS_FILES = ['ca.pem', 'server.pem', 'server.key'] as const;
const READY_MS = 60_000;

/** The clock of a server, read from a file at every look. */
export class SettableClock {
  private constructor(
    private readonly file: string,
    readonly env: Readonly<Record<string, string>>,
  ) {}

  /** Installs Debian's faketime where it is not there. */
  static async create(folder: string): Promise<SettableClock> {
    const library = (): string | undefined => globSync('/usr/lib/*/faketime/libfaketime.so.1')[0];
    if (!library()) await installPackage('faketime', (line) => void process.stderr.write(`${line}\n`));
    const found = library();
    if (!found) throw missing('faketime');
    const file = join(folder, 'clock');
    const clock = new SettableClock(file, {
      LD_PRELOAD: found,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    });
    clock.set(0);
    return clock;
  }

  /** So many seconds ahead of the true time; back where they are negative. */
  set(seconds: number): void {
    writeFileSync(this.file, `${seconds < 0 ? '' : '+'}${seconds}\n`);
  }
}

/** A PostgreSQL of the suite's own, on a free port, with its data in a folder of its own. */
export class OwnPostgres implements AsyncDisposable {
  #server?: ChildProcess;
  /** Only where one was asked for. */
  clock?: SettableClock;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly bin: string,
    private readonly owner: Identity,
    private readonly tls?: ServerTls,
    private readonly settings: Readonly<Record<string, string>> = {},
  ) {}

  /**
   * @param tls with it, it takes nobody without TLS and a certificate that names the user
   * @param settings of the server, beside or instead of those above
   * @throws with what to install where there is none
   */
  static async create({
    tls,
    settings,
    settableClock = false,
  }: {
    readonly tls?: ServerTls;
    readonly settings?: Readonly<Record<string, string>>;
    /** Whether its clock can be set, by `clock`; default false. */
    readonly settableClock?: boolean;
  } = {}): Promise<OwnPostgres> {
    const own = await OwnPostgres.#prepare(tls, settings);
    if (settableClock) own.clock = await SettableClock.create(own.folder);
    await own.#tool(
      'initdb',
      '-D',
      own.#data,
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
    );
    if (tls) own.#demandCertificates(tls);
    await own.start();
    return own;
  }

  static async #prepare(tls?: ServerTls, settings?: Readonly<Record<string, string>>): Promise<OwnPostgres> {
    const bin = findBinaries();
    const folder = ownFolder('postgres');
    const owner = serverOwner();
    if (owner.uid !== undefined) chownSync(folder, owner.uid, owner.gid!);
    return new OwnPostgres(await freePort(), folder, bin, owner, tls, settings);
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  url(database = 'postgres'): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}`;
  }

  async start(): Promise<void> {
    const settings = Object.entries({ ...SETTINGS, ...this.#tlsSettings, ...this.settings }).flatMap(
      ([name, value]) => ['-c', `${name}=${value}`],
    );
    const command = [join(this.bin, 'postgres'), '-D', this.#data, '-p', String(this.port), ...settings];
    this.#server = startServer(command, join(this.folder, 'log'), {
      ...this.owner,
      env: { ...this.owner.env, ...this.clock?.env },
    });
    const answers = (): Promise<boolean> =>
      this.sql('select 1').then(
        () => true,
        () => false,
      );
    if ((await eventually(READY_MS, async () => ended(this.#server!) || answers())) && !ended(this.#server)) return;
    throw new Error(`PostgreSQL did not start: ${this.#log()}`);
  }

  /** `fast` says goodbye to its clients, `immediate` is what a crash comes to: recovery at the next start. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    if (this.#server) await endServer(this.#server, mode === 'fast' ? 'SIGINT' : 'SIGQUIT', 'server');
    this.#server = undefined;
  }

  /** A stand-by that follows this server asynchronously, from a base backup. */
  async standBy(): Promise<OwnPostgres> {
    const other = await OwnPostgres.#prepare();
    await this.#tool('pg_basebackup', '-d', this.url(), '-D', other.#data, '-R', '-X', 'stream', '-c', 'fast', '-N');
    await other.start();
    return other;
  }

  /** Makes a stand-by the server. */
  async promote(): Promise<void> {
    await this.sql('select pg_promote()');
  }

  async sql<R extends object = Record<string, unknown>>(text: string, database?: string): Promise<R[]> {
    const client = new pg.Client({
      connectionString: this.url(database),
      connectionTimeoutMillis: 5_000,
      ...(this.tls && { ssl: { ca: this.tls.ca, ...this.tls.client } }),
    });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<R>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** A folder that holds no more than `megabytes`, for a tablespace. Needs root. */
  async smallFolder(megabytes: number): Promise<SmallFolder> {
    const path = mkdtempSync(join(this.folder, 'small-'));
    await mountSmall(path, megabytes);
    const space = join(path, 'space');
    mkdirSync(space);
    chownSync(space, this.owner.uid ?? process.getuid!(), this.owner.gid ?? process.getgid!());
    return {
      path: space,
      ballast: join(path, 'ballast'),
      remove: async () => unmount(path),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('immediate');
    removeFolder(this.folder);
  }

  get #tlsSettings(): Readonly<Record<string, string>> {
    if (!this.tls) return {};
    const [ca, cert, key] = TLS_FILES.map((name) => join(this.folder, name));
    return { ssl: 'on', ssl_ca_file: ca!, ssl_cert_file: cert!, ssl_key_file: key! };
  }

  #demandCertificates({ ca, server }: ServerTls): void {
    writeFileSync(join(this.#data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 cert\n');
    for (const [index, text] of [ca, server.cert, server.key].entries()) {
      const path = join(this.folder, TLS_FILES[index]!);
      writeFileSync(path, text, { mode: 0o600 });
      if (this.owner.uid !== undefined) chownSync(path, this.owner.uid, this.owner.gid!);
    }
  }

  #tool(name: string, ...args: string[]): Promise<string> {
    return tool([join(this.bin, name), ...args], this.owner);
  }

  #log(): string {
    const path = join(this.folder, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-2_000) : 'it wrote nothing';
  }
}

export interface SmallFolder {
  readonly path: string;
  /** A file beside it that takes the room when it grows. */
  readonly ballast: string;
  remove(): Promise<void>;
}

/** PostgreSQL refuses to run as root; Debian's package brings a user for it. */
function serverOwner(): Identity {
  if (process.getuid?.() !== 0) return {};
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
  if (uid === undefined) throw missing('PostgreSQL (with its user `postgres`)');
  return { uid: Number(uid), gid: Number(gid) };
}

/** The newest that is installed: Debian keeps each version in a folder of its own, others have them on the PATH. */
function findBinaries(): string {
  const version = (path: string): number => Number(path.split('/')[4]);
  const debian = globSync('/usr/lib/postgresql/*/bin').toSorted((a, b) => version(b) - version(a));
  const found = [...debian, ...(process.env['PATH'] ?? '').split(delimiter)].find((folder) =>
    ['initdb', 'postgres', 'pg_basebackup'].every((name) => existsSync(join(folder, name))),
  );
  if (found === undefined) throw missing('PostgreSQL');
  return found;
}
