import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { EntityClass, EntityManager } from '@mikro-orm/core';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase } from '../support/database.js';
import pg from 'pg';
import { eventually } from './support/eventually.js';
import { CATALOGUE, ExistingService } from './support/existing-service.js';
import { interop } from './support/python.js';

/**
 * Tables that Django has made, with every type of field, key and index, become those of a service of ours. The tests are its
 * steps, in this order.
 */

const IDS = ['existing_place=place', 'existing_small=small', 'existing_uid=uid', 'Named By Hand=text_key'];
const MASTERS = [...IDS, 'existing_everything=everything'];
const PLAIN = ['existing_paired', 'existing_tagged', 'existing_tagged_places', 'existing_event'];
const as = (option: string, tables: readonly string[]): string[] => tables.flatMap((table) => [option, table]);
const GENERATED = [...as('--master', MASTERS), '--replica', 'existing_copy=copy', ...as('--table', PLAIN)];

interop("Django's tables", () => {
  let service: ExistingService;
  let said: string;
  let before: string[];
  const catalogue = async (): Promise<string[]> => (await service.sql(CATALOGUE)).map(({ line }) => line!);
  /** Which file has the rows of a table: another one after they were rewritten. */
  const files = () =>
    service.sql(`select relname, relfilenode from pg_class where relname ~ '^existing_[a-z]+$' order by 1`);
  let filesBefore: Awaited<ReturnType<typeof files>>;

  beforeAll(async () => {
    service = await ExistingService.open();
    await service.django('-m', 'existing.rows', 'write');
    said = (await service.generate(...GENERATED)).stderr;
    before = await catalogue();
    filesBefore = await files();
  });
  afterAll(async () => service[Symbol.asyncDispose]());

  test('entities that are generated compile, and are those that were asked for', async () => {
    expect(await service.compile()).toBe('');
    expect(Object.keys(await service.classes()).toSorted()).toEqual([
      'ExistingCopy',
      'ExistingEvent',
      'ExistingEverything',
      'ExistingPaired',
      'ExistingPlace',
      'ExistingSmall',
      'ExistingTagged',
      'ExistingTaggedPlaces',
      'ExistingUid',
      'NamedByHand',
    ]);
    expect(said).toBe(
      'existing_everything: exclusion constraint excluded cannot be declared; it stays in the database.\n',
    );
  });

  test('of them the schema generator makes the same tables', async () => {
    const database = await createDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query('create extension hstore');
      await using made = await service.start({ transport: 'MemoryTransport', queue: 'q' }, database.url);
      await made.orm.schema.create();
      const { rows } = await client.query<{ line: string }>(CATALOGUE);
      const theirs = (lines: readonly string[]): string[] =>
        lines.filter((line) => !/\bcqrs_|\bexcluded\b/.test(line)).toSorted();
      expect(theirs(rows.map(({ line }) => line))).toEqual(theirs(before));
    } finally {
      await client.end();
      await database.drop();
    }
  });

  test('--additive prints, and changes nothing', async () => {
    const { code, stdout, stderr } = await service.cqrs('schema', '--additive');
    expect(code).toBe(0);
    expect(stdout).toMatch(/alter table "existing_everything"\n {2}add column "cqrs_incarnation" bigint not null/);
    const ofTables = stdout.replaceAll(/^create or replace .*$/gm, '');
    expect(ofTables).not.toMatch(/\b(drop|rename|type (?!bigint)|using)\b/i);
    expect(stderr).toContain('kept: existing_everything: constraint excluded, which no entity declares.');
    expect(stderr).toContain('--run runs them');
    expect(await catalogue()).toEqual(before);
  });

  test('--additive --run adds our columns and tables, and nothing else', async () => {
    const { code, stderr } = await service.cqrs('schema', '--additive', '--run');
    expect([code, stderr]).toEqual([0, expect.stringMatching(/\d+ statements run\./)]);
    const after = await catalogue();
    // Every line of the catalogue that has nothing to do with our columns and tables.
    const theirs = (lines: readonly string[]): string[] => lines.filter((line) => !line.includes('cqrs_'));
    expect(theirs(after)).toEqual(theirs(before));
    // The columns of ours that Django made are the same but for their defaults.
    const made = /^\w+ \S*existing_\w+"?\.cqrs_(revision|updated) |^\w+ "?Named By Hand"?\.cqrs_(revision|updated) /;
    const fallback = / NO (0|clock_timestamp\(\)) NO/;
    const own = after.filter((line) => made.test(line));
    expect(own.map((line) => line.replace(fallback, ' NO NO'))).toEqual(before.filter((line) => made.test(line)));
    expect(own.filter((line) => fallback.test(line))).toHaveLength(12);
    expect(await files()).toEqual(filesBefore);

    const again = await service.cqrs('schema', '--additive', '--run');
    expect([again.code, again.stdout]).toEqual([0, '']);
    expect(again.stderr).toContain('Nothing is to be added.');
    await using started = await service.start({ transport: 'MemoryTransport', queue: 'q', relay: { enabled: false } });
    await started.cqrs.check();
  });

  test('Django runs its own tests on them', async () => {
    const { stderr } = await service.django('-m', 'django', 'test', '--keepdb', 'existing');
    expect(stderr).toMatch(/Ran 7 tests[^]*\nOK\n/);
  });

  test('a row that Django wrote and one that ours writes are the same to both', async () => {
    // A Date has no microseconds, as the database's own time has them; of a text MikroORM makes a tsvector by itself.
    const content = `select to_jsonb(e) - '{cqrs_revision,cqrs_updated,cqrs_incarnation,defaulted_time,search}'::text[] as row
      from existing_everything e order by id`;
    const [stored, read] = [await service.sql(content), (await service.django('-m', 'existing.rows', 'read')).stdout];
    const { ExistingEverything } = await service.classes();
    await using started = await service.start({ transport: 'MemoryTransport', queue: 'q', relay: { enabled: false } });
    const rows = await started.orm.em.fork().find(ExistingEverything!, {}, { orderBy: { id: 1 } as never });
    const em = started.orm.em.fork();
    expect(await em.nativeDelete(ExistingEverything!, {})).toBe(2);
    for (const row of rows) em.create(ExistingEverything!, (await valuesOf(row, ExistingEverything!, em)) as never);
    await em.flush();
    expect(await service.sql(content)).toEqual(stored);
    expect((await service.django('-m', 'existing.rows', 'read')).stdout).toBe(read);
  });

  test('rows of every type arrive in the tables of another Django service', async () => {
    const exchange = uniqueName('existing');
    const queue = `${exchange}_replica`;
    await using other = await ExistingService.open();
    await other.generate(...as('--replica', MASTERS));
    expect((await other.cqrs('schema', '--additive', '--run')).code).toBe(0);
    const transport = () => new RabbitMQTransport({ url: amqpUrl });
    await using replica = await other.start({ transport: transport(), exchange, queue });
    await using master = await service.start({ transport: transport(), exchange, relay: { pollIntervalMs: 100 } });
    const deadLetters: unknown[] = [];
    replica.cqrs.events.on('cqrs.inbox.dead-lettered', (letter) => deadLetters.push(letter));
    const consumer = replica.cqrs.createConsumer();
    await consumer.start();
    try {
      await master.cqrs.start();
      for (const cqrsId of ['place', 'small', 'uid', 'text_key', 'everything']) await master.cqrs.sync({ cqrsId });
      // A tsvector cannot travel, so it is left out.
      const content = `select to_jsonb(e) - '{search,cqrs_incarnation}'::text[] as row from existing_everything e order by id`;
      const wanted = await service.sql(content);
      const found = await eventually(
        () => other.sql(content),
        (rows) => rows.length === wanted.length || deadLetters.length > 0,
      );
      expect(deadLetters).toEqual([]);
      expect(found).toEqual(wanted);
    } finally {
      await consumer.stop();
      await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
    }
  });

  test('what a declaration contradicts is refused by its name, and only what adds is done', async () => {
    await using other = await ExistingService.open();
    await other.configure(
      '[Copy]',
      `import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { ReplicaEntity } from 'mikro-orm-cqrs';
@Entity({ tableName: 'existing_copy' })
class Copy extends ReplicaEntity {
  static override CQRS_ID = 'copy';
  @PrimaryKey({ type: 'integer', autoincrement: false }) id!: number;
  @Property({ type: 'string', index: true }) name!: string;
  @Property({ type: 'decimal' }) price!: string;
  @Property({ type: 'text', nullable: true }) added?: string | null;
  @Property({ type: 'integer' }) mandatory!: number;
}`,
    );
    const made = await other.sql(CATALOGUE);
    const { code, stderr, stdout } = await other.cqrs('schema', '--additive', '--run', '--json');
    const report = JSON.parse(stdout) as Record<'refused' | 'kept' | 'left', { table: string; what: string }[]>;
    const told = (key: keyof typeof report): string[] => report[key].map(({ what }) => what);
    expect([code, stderr]).toEqual([1, expect.stringContaining('tables')]);
    expect(told('refused')).toEqual([
      'column mandatory cannot be added here: it may not be null and has no default',
      'column name is varchar(100), and is declared as varchar(255)',
      'column price is numeric(12,2), and is declared as numeric(10,0)',
    ]);
    expect(told('kept')).toEqual([
      'column place_id',
      expect.stringMatching(/^index existing_copy_name_[0-9a-f]+$/),
      expect.stringMatching(/^index existing_copy_name_[0-9a-f]+_like$/),
      expect.stringMatching(/^index existing_copy_place_id_[0-9a-f]+$/),
      expect.stringMatching(/^foreign key existing_copy_place_id_\w+_fk_existing_place_id$/),
    ]);
    expect(told('left')).toEqual(['index existing_copy_name_index']);
    const after = new Set((await other.sql(CATALOGUE)).map(({ line }) => line));
    const lost = made.flatMap(({ line }) => (after.has(line!) ? [] : line!));
    // Both have got their defaults.
    expect(lost.map((line) => /^column \S+ /.exec(line)?.[0])).toEqual([
      'column existing_copy.cqrs_revision ',
      'column existing_copy.cqrs_updated ',
    ]);
    expect([...after].filter((line) => line!.includes('existing_copy.added'))).toHaveLength(2);
  });
});

/** What `em.create` needs for the same row again, its relations as entities of this EntityManager. */
async function valuesOf(row: object, entity: EntityClass<object>, em: EntityManager): Promise<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const { name, targetMeta, targetKey } of em.getMetadata().get(entity).props) {
    const value = Reflect.get(row, name) as Record<string, unknown> | null;
    const key = targetKey ?? targetMeta?.primaryKeys[0];
    if (/^(generated$|cqrs)/.test(name)) continue;
    values[name] =
      value && targetMeta && key ? await em.findOneOrFail(targetMeta.class, { [key]: value[key] } as never) : value;
  }
  return values;
}
