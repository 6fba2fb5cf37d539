import { describe, expect, test } from '@jest/globals';
import { BaseEntity, defineEntity, EntitySchema, MikroORM, p } from '@mikro-orm/postgresql';
import { ConfigurationError } from '../../src/kernel/errors.js';
import { Cqrs } from '../../src/cqrs.js';
import {
  Master,
  master,
  masterClass,
  MasterEntity,
  masterProperties,
} from '../../src/replication/master/definition/master-entity.js';
import { masterService } from '../support/master-service.js';
import { describeDeclaredMaster } from './declared-master.js';

const columns = { id: p.integer().primary(), name: p.string() };

describeDeclaredMaster('defineEntity with a class of its own: masterClass(Schema) and setClass', () => {
  const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties: columns });
  class Account extends masterClass(AccountSchema) {
    static override CQRS_ID = 'account';
  }
  AccountSchema.setClass(Account);
  return { entities: [Account], account: Account };
});

describeDeclaredMaster('defineEntity without a class: master(Schema, options)', () => {
  const Account = master(defineEntity({ name: 'Account', extends: MasterEntity, properties: columns }), {
    id: 'account',
  });
  return { entities: [Account], account: Account as never };
});

describeDeclaredMaster('defineEntity with masterProperties instead of a base: master(Schema, options)', () => {
  const Account = master(defineEntity({ name: 'Account', properties: { ...columns, ...masterProperties } }), {
    id: 'account',
  });
  return { entities: [Account], account: Account as never };
});

describeDeclaredMaster("defineEntity({ class }) of the user's own that extends MasterEntity", () => {
  class Account extends MasterEntity {
    static override readonly CQRS_ID = 'account';
    declare id: number;
    declare name: string;
  }
  const schema = defineEntity({ class: Account, extends: MasterEntity, properties: columns });
  return { entities: [schema], account: Account };
});

describeDeclaredMaster('new EntitySchema', () => {
  class Account extends MasterEntity {
    static override readonly CQRS_ID = 'account';
    id!: number;
    name!: string;
  }
  const schema = new EntitySchema<Account, MasterEntity>({
    class: Account,
    extends: MasterEntity as never,
    properties: { id: { type: 'integer', primary: true }, name: { type: 'string' } },
  });
  return { entities: [schema], account: Account };
});

describeDeclaredMaster('new EntitySchema over Master(UserBase)', () => {
  abstract class UserBase {
    id!: number;
  }
  const base = new EntitySchema<UserBase>({
    class: UserBase as never,
    abstract: true,
    properties: { id: { type: 'integer', primary: true } },
  });
  class Account extends Master(UserBase) {
    static override readonly CQRS_ID = 'account';
    name!: string;
  }
  const schema = new EntitySchema<Account, UserBase>({
    class: Account,
    properties: { name: { type: 'string' } },
  } as never);
  return { entities: [base, schema] as never, account: Account };
});

describeDeclaredMaster('defineEntity over Master(BaseEntity)', () => {
  const AccountSchema = defineEntity({ name: 'Account', extends: Master(BaseEntity), properties: columns });
  class Account extends masterClass(AccountSchema) {
    static override CQRS_ID = 'account';
  }
  AccountSchema.setClass(Account);
  return { entities: [Account], account: Account };
});

describeDeclaredMaster("defineEntity with the user's own abstract base between", () => {
  const NamedSchema = defineEntity({
    name: 'Named',
    abstract: true,
    extends: MasterEntity,
    properties: { id: p.integer().primary() },
  });
  const AccountSchema = defineEntity({ name: 'Account', extends: NamedSchema, properties: { name: p.string() } });
  class Account extends masterClass(AccountSchema) {
    static override CQRS_ID = 'account';
  }
  AccountSchema.setClass(Account);
  return { entities: [NamedSchema, Account], account: Account };
});

describe('a master without a base class', () => {
  test('has the methods and statics of one', async () => {
    const Account = master(defineEntity({ name: 'Account', properties: { ...columns, ...masterProperties } }), {
      id: 'account',
      fields: ['id'],
      isSyncInstance: (account) => account.name !== 'secret',
      getCqrsMeta: (account) => ({ length: account.name.length }),
      getCustomCqrsDeleteData: (account) => ({ was: account.name }),
    });
    await using service = await masterService([Account]);
    const em = service.orm.em.fork();
    const { keys } = await masterClass(Account)
      .cqrs(em)
      .bulkCreate([{ name: 'ada' }, { name: 'secret' }]);
    expect(await service.take()).toMatchObject([{ pk: keys[0], meta: { length: 3 } }]);
    const ada = await em.findOneOrFail(Account, { name: 'ada' });
    expect(await (ada as unknown as MasterEntity).cqrsSync()).toBe(true);
    expect(await (ada as unknown as MasterEntity).toCqrsDict()).toEqual({
      id: ada.id,
      cqrs_revision: 0,
      cqrs_updated: expect.any(String),
    });
    await service.take();
    await em.remove(ada).flush();
    expect(await service.take()).toMatchObject([{ signal: 'DELETE', data: { custom: { was: 'ada' } } }]);
  });

  test('is refused when it has the columns and nobody made it a master', async () => {
    const Account = defineEntity({ name: 'Account', properties: { ...columns, ...masterProperties } });
    const starting = MikroORM.init({
      dbName: 'none',
      connect: false,
      entities: [Account],
      extensions: [new Cqrs({ transport: 'MemoryTransport' })],
    } as never);
    await expect(starting).rejects.toThrow(ConfigurationError);
    await expect(starting).rejects.toThrow(/Account: .*columns of a master.*master\(Schema, \{ id/);
  });
});
