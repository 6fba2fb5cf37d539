import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { EntityClass, EntityName, EntitySchema, Options } from '@mikro-orm/postgresql';
import { type MasterService, masterService } from '../support/master-service.js';

/** An account declared in one of the ways there are: a key `id` that the database makes, and a `name`. */
export interface DeclaredAccount {
  id: number;
  name: string;
}

export interface Declaration {
  /** What goes into `entities`. */
  readonly entities: (EntityClass<object> | EntitySchema)[];
  /** What goes into `em.create`; it travels as `account`. */
  readonly account: EntityName<DeclaredAccount>;
  readonly options?: Partial<Options>;
}

/** What a user may expect of a master, however it was declared. */
export function describeDeclaredMaster(style: string, declare: () => Declaration): void {
  describe(style, () => {
    let service: MasterService;
    let account: Declaration['account'];
    beforeAll(async () => {
      const declaration = declare();
      account = declaration.account;
      service = await masterService(declaration.entities, { options: declaration.options ?? {} });
    });
    afterAll(async () => {
      await service[Symbol.asyncDispose]();
    });

    test('the schema generator makes its columns, with the defaults they need, and the outbox', async () => {
      const sql = await service.orm.schema.getCreateSchemaSQL();
      expect(sql).toMatch(/"cqrs_revision" int(eger)? not null default 0/);
      expect(sql).toMatch(/"cqrs_updated" timestamptz\(6\) not null default clock_timestamp\(\)/);
      expect(sql).toMatch(
        /"cqrs_incarnation" bigint not null default greatest\(\(\(extract\(epoch from clock_timestamp\(\)\).*nextval\(/,
      );
      expect(sql).toContain('create table "cqrs_outbox"');
      expect(await service.orm.schema.getUpdateSchemaSQL()).toBe('');
    });

    test('created, changed and deleted rows are announced', async () => {
      const em = service.orm.em.fork();
      const row = em.create(account, { name: 'ada' } as never);
      await em.flush();
      row.name = 'eve';
      await em.flush();
      em.remove(row);
      await em.flush();
      const sent = await service.take();
      expect(
        sent.map(({ signal, cqrsId, data }) => [signal, cqrsId, data['id'], data['name'], data['cqrs_revision']]),
      ).toEqual([
        ['SAVE', 'account', row.id, 'ada', 0],
        ['SAVE', 'account', row.id, 'eve', 1],
        ['DELETE', 'account', row.id, undefined, 2],
      ]);
      expect(new Set(sent.map((one) => one.incarnation)).size).toBe(1);
    });

    test('nobody has to fill its columns in, and nobody can', async () => {
      const em = service.orm.em.fork();
      const row = em.create(account, { name: 'ada', cqrsRevision: 7, cqrsIncarnation: 7 } as never);
      await em.flush();
      Object.assign(row, { name: 'eve', cqrsRevision: 99, cqrsUpdated: new Date(0) });
      await em.flush();
      expect((await service.take()).map(({ data }) => data['cqrs_revision'])).toEqual([0, 1]);
      expect(row).toMatchObject({
        cqrsRevision: 1,
        cqrsIncarnation: expect.any(Number),
        cqrsUpdated: expect.any(Date),
      });
      expect((row as unknown as { cqrsUpdated: Date }).cqrsUpdated.getFullYear()).toBeGreaterThan(2000);
    });
  });
}
