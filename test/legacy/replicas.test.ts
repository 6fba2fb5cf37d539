import 'reflect-metadata';
import { Entity, PrimaryKey, Property, ReflectMetadataProvider } from '@mikro-orm/decorators/legacy';
import { Replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { describeDeclaredReplica } from '../declaring/declared-replica.js';

const options = { metadataProvider: ReflectMetadataProvider };
const tableName = 'account';

describeDeclaredReplica('legacy decorators, types by reflection, on a class that extends ReplicaEntity', () => {
  @Entity({ tableName })
  class AccountRef extends ReplicaEntity {
    static override readonly CQRS_ID = 'account';
    @PrimaryKey()
    id!: number;
    @Property()
    name!: string;
  }
  return { entities: [AccountRef], options };
});

describeDeclaredReplica("legacy decorators over Replica(UserBase), a decorated base of the user's", () => {
  @Entity({ abstract: true })
  abstract class UserBase {
    @PrimaryKey()
    id!: number;
  }
  @Entity({ tableName })
  class AccountRef extends Replica(UserBase) {
    static override readonly CQRS_ID = 'account';
    @Property()
    name!: string;
  }
  return { entities: [AccountRef], options };
});
