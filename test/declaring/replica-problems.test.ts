import { describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p, Type } from '@mikro-orm/postgresql';
import { ConfigurationError, type Problem } from '../../src/kernel/errors.js';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { createDatabase } from '../support/database.js';

const newCqrs = () => new Cqrs({ transport: 'MemoryTransport', queue: 'replica', relay: { enabled: false } });
const lines = (problems: readonly Problem[]): string[] =>
  problems.map(({ where, what, cure }) => `${where}: ${what} ${cure}`);

function complaintsOf(entities: unknown[]): string[] {
  try {
    // oxlint-disable-next-line no-new -- the constructor discovers, and throws
    new MikroORM({ dbName: 'unused', entities: entities as never, extensions: [newCqrs()] });
  } catch (error) {
    if (error instanceof ConfigurationError) return lines(error.problems);
    throw error;
  }
  return [];
}

const properties = { id: p.integer().primary(), name: p.string() };

function replicaOf(name: string, statics: object, more: object = {}, options: object = {}): unknown {
  const schema = defineEntity({
    name,
    extends: ReplicaEntity,
    properties: { ...properties, ...more },
    ...options,
  } as never);
  const named = { [name]: class extends replicaClass(schema as never) {} }[name]!;
  Object.assign(named, statics);
  schema.setClass(named as never);
  return schema;
}

class VectorType extends Type<string, string> {
  override getColumnType(): string {
    return 'tsvector';
  }
}

describe('a replica is refused with its cure', () => {
  test.each<[string, unknown[], RegExp]>([
    ['no CQRS_ID', [replicaOf('AccountRef', {})], /^AccountRef: has no CQRS_ID\. Add the master's: static CQRS_ID/],
    [
      'two replicas of one master',
      [replicaOf('AccountRef', { CQRS_ID: 'a' }), replicaOf('BillRef', { CQRS_ID: 'a' })],
      /^(AccountRef|BillRef): has the same CQRS_ID 'a' as (AccountRef|BillRef)\./,
    ],
    [
      'a CQRS_ID that is no routing key',
      [replicaOf('AccountRef', { CQRS_ID: 'a b' })],
      /^AccountRef: has the CQRS_ID 'a b'\. Use 1 to 120/,
    ],
    [
      'a mapping to a property that is not there',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_MAPPING: { id: 'id', name: 'name', x: 'nam' } })],
      /^AccountRef: maps 'x' to 'nam', which is no stored property\. Its properties: id, name\./,
    ],
    [
      'two fields mapped to one property',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_MAPPING: { id: 'id', x: 'name', y: 'name' } })],
      /^AccountRef: maps two fields, 'x' and 'y', to 'name'\. Map each property once\./,
    ],
    [
      'a mapping without the key',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_MAPPING: { name: 'name' } })],
      /^AccountRef: does not map its key 'id'\. Add it to CQRS_MAPPING/,
    ],
    [
      'a mandatory property that nothing fills',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_MAPPING: { id: 'id' } })],
      /^AccountRef: does not map 'name', and no row can do without it\. Map it, make it nullable/,
    ],
    [
      'a type that cannot travel',
      [replicaOf('AccountRef', { CQRS_ID: 'a' }, { words: p.type(VectorType) })],
      /^AccountRef: has the property 'words' of type tsvector .*, which cannot travel\./,
    ],
    [
      'custom serialization without a method for it',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_CUSTOM_SERIALIZATION: true })],
      /^AccountRef: has CQRS_CUSTOM_SERIALIZATION and no cqrsCreate of its own\./,
    ],
    [
      'no database operations and no methods',
      [replicaOf('AccountRef', { CQRS_ID: 'a', CQRS_NO_DB_OPERATIONS: true })],
      /^AccountRef: has CQRS_NO_DB_OPERATIONS and nothing that handles messages\./,
    ],
    [
      'a schema chosen at run time',
      [replicaOf('AccountRef', { CQRS_ID: 'a' }, {}, { schema: '*' })],
      /^AccountRef: lives in a schema chosen at run time/,
    ],
  ])('%s', (_, entities, message) => {
    expect(complaintsOf(entities)).toEqual([expect.stringMatching(message)]);
  });
});

const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_FIELDS: readonly string[] = ['id', 'name'];
}
AccountSchema.setClass(Account);

test('problems of masters and replicas are told in one error', () => {
  const BillSchema = defineEntity({ name: 'Bill', extends: MasterEntity, properties });
  class Bill extends masterClass(BillSchema) {}
  BillSchema.setClass(Bill);
  expect(complaintsOf([Bill, replicaOf('AccountRef', {})]).map((line) => line.split(':')[0])).toEqual([
    'Bill',
    'AccountRef',
  ]);
});

test('one id may be a master and a replica of one service', () => {
  expect(complaintsOf([Account, replicaOf('AccountRef', { CQRS_ID: 'account' })])).toEqual([]);
});

test('what the database lacks for masters and replicas is told in one error', async () => {
  const database = await createDatabase();
  const cqrs = newCqrs();
  const entities = [Account, replicaOf('BillRef', { CQRS_ID: 'bill' })] as never;
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  try {
    const error: unknown = await cqrs.start().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigurationError);
    const complaints = lines((error as ConfigurationError).problems);
    expect(complaints.map((line) => /table (\S+)/.exec(line)![1]).toSorted()).toEqual([
      '"account"',
      '"bill_ref"',
      '"cqrs_activity"',
      '"cqrs_held"',
      '"cqrs_outbox"',
      '"cqrs_routes"',
      '"cqrs_tombstones"',
    ]);
    for (const complaint of complaints) expect(complaint).toMatch(/npx cqrs schema --additive --run/);
    await orm.schema.create();
    await expect(cqrs.start()).resolves.toBeUndefined();
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
});
