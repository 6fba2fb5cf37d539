import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MikroORM, type Options } from '@mikro-orm/postgresql';
import type { Cqrs } from '../../src/cqrs.js';
import { EXTENSION } from '../../src/kernel/extension.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  /** Of the whole pipe: that of the last command that failed. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The service of `./service` (or another folder beside it), on a database and queues of its own, and a shell in which its commands are typed. */
export class CliService {
  readonly exchange: string;
  readonly queue: string;
  readonly deadLetterQueue: string;
  readonly env: Record<string, string>;
  orm!: MikroORM;
  cqrs!: Cqrs;
  /** `$DIR` in the shell. */
  folder!: string;
  #database!: TestDatabase;

  constructor(
    name: string,
    private readonly service = 'service',
  ) {
    this.exchange = uniqueName(name);
    this.queue = uniqueName(name);
    this.deadLetterQueue = `dead_letter_${this.queue}`;
    this.env = {
      CLI_TEST_AMQP: amqpUrl,
      CLI_TEST_EXCHANGE: this.exchange,
      CLI_TEST_QUEUE: this.queue,
      MIKRO_ORM_CLI_CONFIG: `test/cli/${service}/mikro-orm.config.ts`,
    };
  }

  async open(): Promise<void> {
    this.#database = await createDatabase();
    this.folder = await mkdtemp(join(tmpdir(), 'cqrs-cli-'));
    Object.assign(this.env, { CLI_TEST_DATABASE: this.#database.url, DIR: this.folder });
    Object.assign(process.env, this.env);
    const { default: config } = (await import(`./${this.service}/mikro-orm.config.js`)) as { default: Options };
    this.orm = await MikroORM.init(config);
    await this.orm.schema.create();
    this.cqrs = this.orm.config.getExtension<Cqrs>(EXTENSION)!;
  }

  sql<T = Record<string, unknown>>(text: string): Promise<T[]> {
    return this.orm.em.getConnection().execute(text);
  }

  /** Runs a line of shell in which `cqrs` is the command. @param timeoutMs after which it counts as failed; 0: never */
  shell(line: string, more: Record<string, string> = {}, timeoutMs = 0): Promise<Ended> {
    const script = `cqrs() { "$NODE" --import tsx src/cli/main.ts "$@"; }\n${line}`;
    const child = spawn('bash', ['-o', 'pipefail', '-c', script], {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE: process.execPath, ...this.env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += String(chunk)));
    child.stderr.on('data', (chunk) => (err += String(chunk)));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code: code ?? -1, out, err })));
  }

  /** Forgets the messages that nobody has consumed. */
  async emptyQueue(): Promise<void> {
    const { cqrs, queue } = this;
    await cqrs.connect();
    await using messages = await cqrs.transport.openDeadLetters({ queue, deadLetterQueue: queue });
    await messages!.purge();
  }

  /** Resolves when a consumer answers questions, which it begins to do in its own time. */
  async untilAnswered(): Promise<void> {
    for (;;) {
      const answer = await this.cqrs.transport.ask(this.queue, '{}', { timeoutMs: 5_000 }).catch(() => undefined);
      if (answer) return;
    }
  }

  /** Also takes away the queues of consumers for chosen ids, which are named behind ours. */
  async close(...behind: readonly string[]): Promise<void> {
    await this.cqrs.stop();
    await this.orm.close(true);
    const queues = [this.queue, ...behind.map((name) => `${this.queue}.${name}`)];
    await deleteTopology(
      this.exchange,
      queues.flatMap((queue) => [queue, `dead_letter_${queue}`, `unreadable_${queue}`]),
    );
    await this.#database.drop();
    await rm(this.folder, { recursive: true });
  }
}
