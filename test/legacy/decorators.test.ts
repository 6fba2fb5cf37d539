import 'reflect-metadata';
import { BaseEntity } from '@mikro-orm/postgresql';
import { Entity, PrimaryKey, Property, ReflectMetadataProvider } from '@mikro-orm/decorators/legacy';
import { Master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { describeDeclaredMaster } from '../declaring/declared-master.js';

const options = { metadataProvider: ReflectMetadataProvider };

describeDeclaredMaster('legacy decorators, types by reflection, on a class that extends MasterEntity', () => {
  @Entity()
  class Account extends MasterEntity {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey()
    id!: number;
    @Property()
    name!: string;
  }
  return { entities: [Account], account: Account, options };
});

describeDeclaredMaster("legacy decorators with the user's own abstract base between", () => {
  @Entity({ abstract: true })
  abstract class Named extends MasterEntity {
    @PrimaryKey()
    id!: number;
    @Property()
    name!: string;
  }
  @Entity()
  class Account extends Named {
    static override readonly CQRS_ID = 'account';
  }
  return { entities: [Named as never, Account], account: Account, options };
});

describeDeclaredMaster('legacy decorators over Master(BaseEntity)', () => {
  @Entity()
  class Account extends Master(BaseEntity) {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey()
    id!: number;
    @Property()
    name!: string;
  }
  return { entities: [Account], account: Account, options };
});

describeDeclaredMaster("legacy decorators over Master(UserBase), a decorated base of the user's", () => {
  @Entity({ abstract: true })
  abstract class UserBase {
    @PrimaryKey()
    id!: number;
  }
  @Entity()
  class Account extends Master(UserBase) {
    static override readonly CQRS_ID = 'account';
    @Property()
    name!: string;
  }
  return { entities: [Account], account: Account, options };
});
