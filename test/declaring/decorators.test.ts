import { BaseEntity } from '@mikro-orm/postgresql';
import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { Master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { describeDeclaredMaster } from './declared-master.js';

describeDeclaredMaster('ES decorators on a class that extends MasterEntity', () => {
  @Entity()
  class Account extends MasterEntity {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [Account], account: Account };
});

describeDeclaredMaster("ES decorators with the user's own abstract base between", () => {
  @Entity({ abstract: true })
  abstract class Named extends MasterEntity {
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  @Entity()
  class Account extends Named {
    static override readonly CQRS_ID = 'account';
  }
  return { entities: [Named as never, Account], account: Account };
});

describeDeclaredMaster("ES decorators over Master(BaseEntity), MikroORM's own base", () => {
  @Entity()
  class Account extends Master(BaseEntity) {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [Account], account: Account };
});

describeDeclaredMaster("ES decorators over Master(UserBase), a decorated base of the user's", () => {
  @Entity({ abstract: true })
  abstract class UserBase {
    @PrimaryKey({ type: 'integer' })
    id!: number;
    shout(): string {
      return 'name' in this ? String(this.name).toUpperCase() : '';
    }
  }
  @Entity()
  class Account extends Master(UserBase) {
    static override readonly CQRS_ID = 'account';
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [Account], account: Account };
});
