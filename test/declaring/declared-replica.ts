import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type EntityClass, type EntitySchema, MikroORM, type Options } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { brief, message, type MessageOptions } from '../replication/replica/support/messages.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

export interface ReplicaDeclaration {
  /** An account with a key `id` and a `name`, in a table `account`, declared in one of the ways there are. */
  readonly entities: (EntityClass<object> | EntitySchema)[];
  readonly options?: Partial<Options>;
}

/** What a user may expect of a replica, however it was declared. */
export function describeDeclaredReplica(style: string, declare: () => ReplicaDeclaration): void {
  describe(style, () => {
    let database: TestDatabase;
    let orm: MikroORM;
    let cqrs: Cqrs;
    beforeAll(async () => {
      const { entities, options = {} } = declare();
      database = await createDatabase();
      cqrs = new Cqrs({ transport: 'MemoryTransport', queue: 'accounts' });
      orm = await MikroORM.init({ ...options, clientUrl: database.url, entities, extensions: [cqrs] });
      await orm.schema.create();
    });
    afterAll(async () => {
      await cqrs.stop();
      await orm.close();
      await database.drop();
    });

    test('the schema generator makes its columns and the tombstones, and all that start() asks for', async () => {
      const sql = await orm.schema.getCreateSchemaSQL();
      expect(sql).toMatch(/"cqrs_revision" int(eger)? not null default 0/);
      expect(sql).toMatch(/"cqrs_updated" timestamptz\(6\) not null default clock_timestamp\(\)/);
      expect(sql).toMatch(/"cqrs_incarnation" bigint null/);
      expect(sql).toContain('create table "cqrs_tombstones"');
      expect(await orm.schema.getUpdateSchemaSQL()).toBe('');
      await cqrs.start();
    });

    test('messages create, change and delete its rows', async () => {
      const row = () => orm.em.execute('select id, name, cqrs_revision from account');
      const handle = async (name: string, options: MessageOptions) =>
        brief(await cqrs.replicaRuntime.handle([message({ id: 1, name }, options)]));
      expect(await handle('ada', {})).toEqual(['create']);
      expect(await handle('eve', { revision: 1 })).toEqual(['update']);
      expect(await row()).toEqual([{ id: 1, name: 'eve', cqrs_revision: 1 }]);
      expect(await handle('eve', { revision: 2, signal: 'DELETE' })).toEqual(['delete']);
      expect(await row()).toEqual([]);
      expect(cqrs.replicas.ids).toEqual(['account']);
    });
  });
}
