import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/master/master-entity.js';
import { createDatabase } from '../support/database.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

test("the guide's migration of a big table rewrites no row, and leaves the schema that MikroORM wants", async () => {
  const database = await createDatabase();
  const orm = await MikroORM.init({
    clientUrl: database.url,
    entities: [Account],
    extensions: [new Cqrs({ transport: 'MemoryTransport' })],
  });
  try {
    const sql = <T = Record<string, unknown>>(text: string): Promise<T[]> => orm.em.getConnection().execute(text);
    await sql('create table account (id serial primary key, name varchar(255) not null)');
    await sql(`insert into account (name) select 'n' || i from generate_series(1, 100000) i`);
    const [before] = await sql<{ file: number }>(`select pg_relation_filenode('account') as file`);
    const guide = await readFile(new URL('../../docs/guide.md', import.meta.url), 'utf8');
    const migration = /```sql\n(set lock_timeout[^`]*)```/.exec(guide)![1]!;
    for (const statement of migration.split(';').filter((text) => text.trim())) await sql(statement);
    const [after] = await sql<{ file: number }>(`select pg_relation_filenode('account') as file`);
    expect(after).toEqual(before);
    const rest = await orm.schema.getUpdateSchemaSQL();
    expect(rest).not.toContain('"account"');
    await orm.schema.update();
    await orm.em.fork().nativeUpdate(Account, { id: 7 }, { name: 'changed' });
    expect(await sql('select cqrs_revision from account where id = 7')).toEqual([{ cqrs_revision: 1 }]);
  } finally {
    await orm.close();
    await database.drop();
  }
});
