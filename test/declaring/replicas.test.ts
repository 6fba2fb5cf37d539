import { BaseEntity, defineEntity, EntitySchema, p } from '@mikro-orm/postgresql';
import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import {
  Replica,
  replica,
  replicaClass,
  ReplicaEntity,
  replicaProperties,
} from '../../src/replication/replica/definition/replica-entity.js';
import { describeDeclaredReplica } from './declared-replica.js';

const columns = { id: p.integer().primary(), name: p.string() };
const tableName = 'account';

describeDeclaredReplica('ES decorators on a class that extends ReplicaEntity', () => {
  @Entity({ tableName })
  class AccountRef extends ReplicaEntity {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [AccountRef] };
});

describeDeclaredReplica("ES decorators with the user's own abstract base between", () => {
  @Entity({ abstract: true })
  abstract class Named extends ReplicaEntity {
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  @Entity({ tableName })
  class AccountRef extends Named {
    static override readonly CQRS_ID = 'account';
  }
  return { entities: [Named as never, AccountRef] };
});

describeDeclaredReplica('ES decorators over Replica(BaseEntity)', () => {
  @Entity({ tableName })
  class AccountRef extends Replica(BaseEntity) {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey({ type: 'integer' })
    id!: number;
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [AccountRef] };
});

describeDeclaredReplica("ES decorators over Replica(UserBase), a decorated base of the user's", () => {
  @Entity({ abstract: true })
  abstract class UserBase {
    @PrimaryKey({ type: 'integer' })
    id!: number;
  }
  @Entity({ tableName })
  class AccountRef extends Replica(UserBase) {
    static override readonly CQRS_ID = 'account';
    @Property({ type: 'string' })
    name!: string;
  }
  return { entities: [AccountRef] };
});

describeDeclaredReplica('defineEntity with a class of its own: replicaClass(Schema) and setClass', () => {
  const schema = defineEntity({ name: 'AccountRef', tableName, extends: ReplicaEntity, properties: columns });
  class AccountRef extends replicaClass(schema) {
    static override CQRS_ID = 'account';
  }
  schema.setClass(AccountRef);
  return { entities: [AccountRef] };
});

describeDeclaredReplica('defineEntity without a class: replica(Schema, options)', () => ({
  entities: [
    replica(defineEntity({ name: 'AccountRef', tableName, extends: ReplicaEntity, properties: columns }), {
      id: 'account',
    }),
  ],
}));

describeDeclaredReplica('defineEntity with replicaProperties instead of a base: replica(Schema, options)', () => ({
  entities: [
    replica(defineEntity({ name: 'AccountRef', tableName, properties: { ...columns, ...replicaProperties } }), {
      id: 'account',
    }),
  ],
}));

describeDeclaredReplica('hooks by options: replica(Schema, { cqrsCreate … })', () => {
  const AccountRef = replica(
    defineEntity({ name: 'AccountRef', tableName, properties: { ...columns, ...replicaProperties } }),
    {
      id: 'account',
      mapping: { id: 'id', name: 'name' },
      cqrsUpdate: (account, _em, { mappedData }) => void (account.name = String(mappedData['name'])),
    },
  );
  return { entities: [AccountRef] };
});

describeDeclaredReplica('new EntitySchema', () => {
  class AccountRef extends ReplicaEntity {
    static override readonly CQRS_ID = 'account';
    id!: number;
    name!: string;
  }
  const schema = new EntitySchema<AccountRef, ReplicaEntity>({
    class: AccountRef,
    tableName,
    extends: ReplicaEntity as never,
    properties: { id: { type: 'integer', primary: true }, name: { type: 'string' } },
  });
  return { entities: [schema] };
});
