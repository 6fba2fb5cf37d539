import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, EntitySchema, MikroORM, p, Type } from '@mikro-orm/postgresql';
import { ConfigurationError, type Problem } from '../../src/kernel/errors.js';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const newCqrs = (settings: object = {}) => new Cqrs({ transport: 'MemoryTransport', ...settings });

/** What a service with these entities complains of when it starts. */
function problemsOf(entities: unknown[]): readonly Problem[] {
  try {
    // oxlint-disable-next-line no-new -- the constructor discovers, and throws
    new MikroORM({ dbName: 'unused', entities: entities as never, extensions: [newCqrs()] });
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

const lines = (problems: readonly Problem[]): string[] =>
  problems.map(({ where, what, cure }) => `${where}: ${what} ${cure}`);

/** An entity of that name with an id, a name, and these statics and properties. */
function entity(name: string, statics: object, properties: object = {}, options: object = {}): unknown {
  const schema = defineEntity({
    name,
    extends: MasterEntity,
    properties: { id: p.integer().primary(), name: p.string(), ...properties },
    ...options,
  } as never);
  const named = { [name]: class extends masterClass(schema as never) {} }[name]!;
  Object.assign(named, statics);
  schema.setClass(named as never);
  return schema;
}

class TreeType extends Type<string, string> {
  override getColumnType(): string {
    return 'tsvector';
  }
}

describe('a declaration is refused with its cure', () => {
  test.each<[string, unknown[], string]>([
    [
      'no CQRS_ID',
      [entity('Account', {})],
      "Account: has no CQRS_ID. Add: static CQRS_ID = 'account'. If it is only a base, declare it abstract.",
    ],
    [
      'two masters with one CQRS_ID',
      [entity('Account', { CQRS_ID: 'a' }), entity('Bill', { CQRS_ID: 'a' })],
      "Bill: has the same CQRS_ID 'a' as Account. Give each master an id of its own.",
    ],
    [
      'a CQRS_ID that is no routing key',
      [entity('Account', { CQRS_ID: 'all.#' })],
      "Account: has the CQRS_ID 'all.#'. Use 1 to 120 characters without blanks, '*' and '#': it is a routing key.",
    ],
    [
      'an unknown field',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: ['id', 'nam'] })],
      "Account: lists 'nam' in CQRS_FIELDS, which it does not have. Did you mean 'name'? Its properties: id, name, cqrsRevision.",
    ],
    [
      'a field without a column',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: ['id', 'shout'] }, { shout: p.string().persist(false) })],
      "Account: lists 'shout' in CQRS_FIELDS, which has no column of its own. Its properties: id, name, cqrsRevision.",
    ],
    [
      'a field listed twice',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: ['id', 'name', 'name'] })],
      "Account: lists 'name' twice in CQRS_FIELDS. Remove one.",
    ],
    [
      'a list without the key',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: ['name'] })],
      "Account: does not list its key 'id' in CQRS_FIELDS. Add it: a replica cannot do without.",
    ],
    [
      'fields that are no list',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: 'name' })],
      "Account: has a CQRS_FIELDS that is no list. Give it a list of property names, or '__all__'.",
    ],
    [
      'fields together with a serializer',
      [entity('Account', { CQRS_ID: 'a', CQRS_FIELDS: ['id'], CQRS_SERIALIZER: () => ({}) })],
      'Account: declares CQRS_FIELDS together with CQRS_SERIALIZER. Keep one: the serializer decides alone what travels.',
    ],
    [
      'a serializer by its path, as in Python',
      [entity('Account', { CQRS_ID: 'a', CQRS_SERIALIZER: 'app.serializers.Account' })],
      'Account: has a CQRS_SERIALIZER that is neither a function nor a class. Give it a function from the entity to its data.',
    ],
    [
      'an unknown tracked field',
      [entity('Account', { CQRS_ID: 'a', CQRS_TRACKED_FIELDS: ['balance'] })],
      "Account: lists 'balance' in CQRS_TRACKED_FIELDS, which it does not have. Its properties: id, name, cqrsRevision.",
    ],
    [
      'a misspelt static',
      [entity('Account', { CQRS_ID: 'a', CQRS_FEILDS: ['id'] })],
      "Account: has the static CQRS_FEILDS, which means nothing to a master. Did you mean 'CQRS_FIELDS'? Known: CQRS_ID, CQRS_PRODUCE, CQRS_CAPTURE, CQRS_FIELDS, CQRS_SERIALIZER, CQRS_TRACKED_FIELDS.",
    ],
    [
      'CQRS_CAPTURE of another name',
      [entity('Account', { CQRS_ID: 'a', CQRS_CAPTURE: 'triggers' })],
      "Account: has the CQRS_CAPTURE 'triggers'. Use 'driver' or 'trigger'.",
    ],
    [
      'CQRS_PRODUCE as a text',
      [entity('Account', { CQRS_ID: 'a', CQRS_PRODUCE: 'no' })],
      'Account: has a CQRS_PRODUCE that is neither true nor false. Give it a boolean.',
    ],
    [
      'a type that cannot travel',
      [entity('Account', { CQRS_ID: 'a' }, { words: p.type(TreeType) })],
      "Account: has the property 'words' of type tsvector, which cannot travel. Leave it out with CQRS_FIELDS, or write a CQRS_SERIALIZER.",
    ],
    [
      'two properties with one name on the wire',
      [entity('Account', { CQRS_ID: 'a' }, { paidAt: p.datetime(), paid_at: p.datetime().name('paid') })],
      "Account: has two properties, 'paidAt' and 'paid_at', that are both called 'paid_at' on the wire. Rename one.",
    ],
    [
      'a property called as one of the library',
      [entity('Account', { CQRS_ID: 'a' }, { cqrs_updated: p.datetime().name('other') })],
      "Account: has two properties, 'cqrsUpdated' and 'cqrs_updated', that are both called 'cqrs_updated' on the wire. Rename one.",
    ],
    [
      'a schema chosen at run time',
      [entity('Account', { CQRS_ID: 'a' }, {}, { schema: '*' })],
      "Account: lives in a schema chosen at run time ('*'). Give it a schema of its own; wildcard schemas are not replicated yet.",
    ],
    [
      'a relation that the serializer asks for and does not exist',
      [
        entity('Account', {
          CQRS_ID: 'a',
          CQRS_SERIALIZER: () => ({}),
          relateCqrsSerialization: () => ['owner.country'],
        }),
      ],
      "Account: asks for 'owner.country' in relateCqrsSerialization, but Account has no 'owner'. Use MikroORM's populate syntax, e.g. ['author', 'author.country'].",
    ],
  ])('%s', (_, entities, message) => {
    expect(lines(problemsOf(entities))).toEqual([message]);
  });

  test('table-per-type inheritance', () => {
    const animal = new EntitySchema({
      name: 'Animal',
      extends: MasterEntity as never,
      inheritance: 'tpt',
      properties: { id: { type: 'integer', primary: true } },
    } as never);
    Object.assign(animal.meta.class, { CQRS_ID: 'animal' });
    const dog = new EntitySchema({
      name: 'Dog',
      extends: animal as never,
      properties: { barks: { type: 'boolean' } },
    } as never);
    expect(lines(problemsOf([animal, dog]))).toContain(
      'Animal: is spread over several tables (table-per-type inheritance). Use single-table inheritance, or an abstract base.',
    );
  });

  test('a master without its columns', () => {
    const plain = defineEntity({ name: 'Plain', properties: { id: p.integer().primary() } });
    Object.assign(plain.meta.class, { CQRS_ID: 'plain', [Symbol.for('mikro-orm-cqrs.master')]: true });
    expect(lines(problemsOf([plain]))).toEqual([
      'Plain: lacks cqrsRevision, cqrsUpdated, cqrsIncarnation. Extend MasterEntity, or spread masterProperties into its properties.',
    ]);
  });

  // claims: set-up-checked
  test('all problems of all entities are told at once', () => {
    const problems = problemsOf([
      entity('Account', {}),
      entity('Bill', { CQRS_ID: 'bill', CQRS_FIELDS: ['nam', 'nam'], CQRS_TRACKED_FIELDS: ['x'] }),
      entity('Card', { CQRS_ID: 'card' }),
    ]);
    expect(problems.map(({ where }) => where)).toEqual(['Account', 'Bill', 'Bill', 'Bill', 'Bill']);
    expect(new ConfigurationError(problems).message).toMatch(
      /^mikro-orm-cqrs cannot start: 5 problems\.\n {2}- Account: has no CQRS_ID.*\n {2}- Bill: lists 'nam' in CQRS_FIELDS/,
    );
  });

  test('what may look odd and is fine', () => {
    const fine = [
      entity(
        'Account',
        { CQRS_ID: 'Konto.ä-1', CQRS_FIELDS: ['id', 'name'], CQRS_TRACKED_FIELDS: '__all__' },
        { words: p.type(TreeType).persist(false) },
      ),
      entity('Bill', { CQRS_ID: 'bill', CQRS_SERIALIZER: async () => ({}) }, { words: p.type(TreeType).nullable() }),
      entity('Card', { CQRS_ID: 'card', CQRS_FIELDS: ['id'], CQRS_TRACKED_FIELDS: ['name', 'cqrsRevision'] }),
    ];
    expect(problemsOf(fine)).toEqual([]);
  });
});

describe('settings', () => {
  const complaintsOf = (settings: object): string[] => {
    try {
      newCqrs(settings);
      return [];
    } catch (error) {
      return lines((error as ConfigurationError).problems);
    }
  };

  test('unknown ones are named, with the nearest known one', () => {
    expect(complaintsOf({ que: 'q', master: { messageTtl: 5 }, replica: { max_retries: 1, colour: 'red' } })).toEqual([
      "settings.master: unknown option 'messageTtl'. Did you mean 'messageTtlSeconds'? See docs/settings.md for the names.",
      "settings.replica: unknown option 'max_retries'. Did you mean 'maxRetries'? See docs/settings.md for the names.",
      "settings.replica: unknown option 'colour'. See docs/settings.md for the names.",
      "settings: unknown option 'que'. Did you mean 'queue'? See docs/settings.md for the names.",
    ]);
  });

  // claims: set-up-checked
  test('wrong values are told at once, each by its path', () => {
    const complaints = complaintsOf({
      queue: 'a b',
      master: { messageTtlSeconds: -1 },
      relay: { batchSize: 0, enabled: 'yes' },
    });
    expect(complaints.map((line) => line.split(':')[0])).toEqual([
      'settings.queue',
      'settings.master.messageTtlSeconds',
      'settings.relay.enabled',
      'settings.relay.batchSize',
    ]);
  });

  test('a missing transport', () => {
    expect(() => new Cqrs({} as never)).toThrow(/settings\.transport: it is missing\./);
  });
});

describe('cqrs.start() looks at the database', () => {
  const AccountSchema = defineEntity({
    name: 'Account',
    extends: MasterEntity,
    properties: { id: p.integer().primary(), name: p.string() },
  });
  class Account extends masterClass(AccountSchema) {
    static override CQRS_ID = 'account';
  }
  AccountSchema.setClass(Account);

  let database: TestDatabase;
  let orm: MikroORM;
  let cqrs: Cqrs;
  beforeAll(async () => {
    database = await createDatabase();
  });
  afterAll(async () => {
    await database.drop();
  });
  const starting = async (...statements: string[]): Promise<string[]> => {
    cqrs = newCqrs({ relay: { enabled: false } });
    orm = await MikroORM.init({ clientUrl: database.url, entities: [Account], extensions: [cqrs] });
    try {
      for (const statement of statements) await orm.em.execute(statement);
      await cqrs.start();
      return [];
    } catch (error) {
      if (error instanceof ConfigurationError) return lines(error.problems);
      throw error;
    } finally {
      await cqrs.stop();
      await orm.close();
    }
  };
  const fresh = async (): Promise<void> => {
    orm = await MikroORM.init({ clientUrl: database.url, entities: [Account], extensions: [newCqrs()] });
    await orm.schema.refresh();
    await orm.close();
  };
  const cure = 'Run `npx cqrs schema --additive --run`, or create and run a migration.';

  const activityMissing = `activity: its table "cqrs_activity" is not in the database. ${cure} Or set activity.enabled to false.`;

  test('tables that are missing', async () => {
    expect(await starting()).toEqual([
      `outbox: its table "cqrs_outbox" is not in the database. ${cure}`,
      `refused messages: its table "cqrs_held" is not in the database. ${cure}`,
      `routes: its table "cqrs_routes" is not in the database. ${cure}`,
      `Account: its table "account" is not in the database. ${cure}`,
      activityMissing,
    ]);
  });

  test('columns that are missing', async () => {
    expect(
      await starting('create table account (id serial primary key, name text)', 'create table cqrs_outbox (id bigint)'),
    ).toEqual([
      expect.stringMatching(/^outbox: its table "cqrs_outbox" lacks bucket, cqrs_id, .*body, .*\. Run `npx/),
      `refused messages: its table "cqrs_held" is not in the database. ${cure}`,
      `routes: its table "cqrs_routes" is not in the database. ${cure}`,
      `Account: its table "account" lacks cqrs_revision, cqrs_updated, cqrs_incarnation. ${cure}`,
      activityMissing,
    ]);
  });

  test('nothing, once the schema is there', async () => {
    await fresh();
    expect(await starting()).toEqual([]);
  });

  test('columns made by hand without what they need', async () => {
    await fresh();
    expect(
      await starting(
        'alter table account alter cqrs_revision drop default, alter cqrs_revision drop not null',
        'alter table account alter cqrs_updated type timestamp, alter cqrs_updated set default now()',
        'alter table account alter cqrs_incarnation set default 1',
      ),
    ).toEqual([
      `Account: the column cqrs_revision of "account" has no default in the database: a new row starts at revision 0. ${cure}`,
      `Account: the column cqrs_revision of "account" may be null: a new row starts at revision 0. ${cure}`,
      `Account: the column cqrs_updated of "account" is of type timestamp without time zone: a row is as old as its last change, to the microsecond. ${cure}`,
      `Account: the column cqrs_updated of "account" has the default now(): a row is as old as its last change, to the microsecond. ${cure}`,
      `Account: the column cqrs_incarnation of "account" has the default 1: a row created again needs a greater number, whatever the clock does. ${cure}`,
    ]);
  });

  test('settings of the connection that change how values are printed', async () => {
    await fresh();
    const name = new URL(database.url).pathname.slice(1);
    const set = [
      `alter database ${name} set datestyle = 'German'`,
      `alter database ${name} set bytea_output = 'escape'`,
      `alter database ${name} set extra_float_digits = 0`,
    ];
    await starting(...set);
    expect(await starting()).toEqual([
      "database: DateStyle is 'German, DMY' for this connection: dates would travel in a form no replica reads. Set it for the role that MikroORM connects with: alter role … set DateStyle = 'ISO'.",
      "database: bytea_output is 'escape' for this connection: bytes would travel damaged. Set it for the role that MikroORM connects with: alter role … set bytea_output = 'hex'.",
      "database: extra_float_digits is '0' for this connection: numbers would travel rounded. Set it for the role that MikroORM connects with: alter role … set extra_float_digits = '1'.",
    ]);
  });
});
