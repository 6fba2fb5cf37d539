import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs, type CqrsOptions } from '../../../src/cqrs.js';
import { capture } from '../../support/capture.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { type Ended, runToEnd } from './processes.js';
import { python } from './python.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const project = fileURLToPath(new URL('../django', import.meta.url));

/** Tables that Django has made (`django/existing`), and a service of ours that takes them over. */
export class ExistingService implements AsyncDisposable {
  private constructor(
    private readonly database: TestDatabase,
    private readonly client: pg.Client,
    /** Of the generated module and the configuration. */
    private readonly folder: string,
  ) {}

  static async open(): Promise<ExistingService> {
    const database = await createDatabase();
    const client = new pg.Client({ connectionString: database.url, options: '-c timezone=UTC' });
    await client.connect();
    const folder = await mkdtemp(`${root}test/interop/generated-`);
    const service = new ExistingService(database, client, folder);
    await client.query('create extension hstore');
    await service.django('-m', 'django', 'migrate', '--run-syncdb', '--verbosity', '0');
    await service.configure('[]');
    return service;
  }

  get url(): string {
    return this.database.url;
  }

  /** Runs a Python program of the project. @throws with all that it says, when it fails */
  async django(...args: string[]): Promise<Ended> {
    const env = {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONIOENCODING: 'utf-8',
      DJANGO_SETTINGS_MODULE: 'existing.settings',
      EXISTING_DATABASE_URL: this.url,
    };
    const ended = await runToEnd(spawn(python, args, { cwd: project, env }));
    if (ended.code !== 0) throw new Error(`${args.join(' ')}:\n${ended.stdout}\n${ended.stderr}`);
    return ended;
  }

  /** The command, with the configuration of this service. */
  cqrs(...args: string[]): Promise<Ended> {
    return runToEnd(this.#start(['src/cli/main.ts', ...args, '--config', `${this.folder}/mikro-orm.config.ts`]));
  }

  /** Generates entities and configures the service with them. Answers with what the command says. */
  async generate(...tables: string[]): Promise<Ended> {
    const ended = await this.cqrs('schema', '--entities', ...tables);
    if (ended.code !== 0) throw new Error(ended.stderr);
    await writeFile(`${this.folder}/entities.ts`, ended.stdout);
    await this.configure('Object.values(entities)', `import * as entities from './entities.js';`);
    return ended;
  }

  /** @param entities an expression; @param more lines before it */
  async configure(entities: string, more = ''): Promise<void> {
    await writeFile(
      `${this.folder}/mikro-orm.config.ts`,
      `import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
${more}
export default defineConfig({
  clientUrl: '${this.url}',
  entities: ${entities},
  extensions: [new Cqrs({ transport: 'MemoryTransport', queue: 'q', relay: { enabled: false }, master: { capture: '${capture}' } })],
});
`,
    );
  }

  /** The complaints of the compiler about the generated module; none. */
  async compile(): Promise<string> {
    const file = `${this.folder}/tsconfig.json`;
    await writeFile(file, JSON.stringify({ extends: `${root}tsconfig.json`, include: ['entities.ts'] }));
    const { stdout } = await runToEnd(spawn(`${root}node_modules/.bin/tsc`, ['--noEmit', '--project', file]));
    return stdout;
  }

  /** The generated classes by their names. */
  async classes(): Promise<Readonly<Record<string, EntityClass<object>>>> {
    return (await import(`${this.folder}/entities.ts`)) as Record<string, EntityClass<object>>;
  }

  /** A service of ours with the generated classes, on this database or on another one. */
  async start(options: CqrsOptions, url = this.url): Promise<{ orm: MikroORM; cqrs: Cqrs } & AsyncDisposable> {
    const cqrs = new Cqrs({ ...options, master: { capture, ...options.master } });
    const entities = Object.values(await this.classes());
    const orm = await MikroORM.init({ clientUrl: url, entities, extensions: [cqrs] });
    return {
      orm,
      cqrs,
      async [Symbol.asyncDispose]() {
        await cqrs.stop();
        await orm.close(true);
      },
    };
  }

  async sql(text: string): Promise<Readonly<Record<string, string | null>>[]> {
    const asTheyCome = { getTypeParser: () => (value: string) => value };
    return (await this.client.query({ text, types: asTheyCome as never })).rows as Record<string, string | null>[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end();
    await this.database.drop();
    await rm(this.folder, { recursive: true });
  }

  #start(args: readonly string[]): ChildProcessWithoutNullStreams {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
    return spawn(process.execPath, ['--import', 'tsx', ...args], { cwd: root, env });
  }
}

/** Everything that a catalogue says of tables, in PostgreSQL's own words, a line each; and which file has the rows. */
export const CATALOGUE = `
  select 'column ' || table_name || '.' || concat_ws(' ', column_name, data_type, udt_name, character_maximum_length,
      numeric_precision, numeric_scale, datetime_precision, is_nullable, column_default, is_identity, identity_generation,
      generation_expression, collation_name) as line
    from information_schema.columns where table_schema = 'public'
  union all
  select 'type ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
    || coalesce(' # ' || col_description(attrelid, attnum), '')
    from pg_attribute join pg_class c on c.oid = attrelid and c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
    where attnum > 0 and not attisdropped
  union all select 'index ' || indexdef from pg_indexes where schemaname = 'public'
  union all
  select 'constraint ' || conrelid::regclass || '.' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'public'::regnamespace
  union all select 'sequence ' || concat_ws(' ', sequencename, data_type, start_value, increment_by, max_value)
    from pg_sequences where schemaname = 'public'
  order by line`;
