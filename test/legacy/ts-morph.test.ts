import 'reflect-metadata';
import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/legacy';
import { TsMorphMetadataProvider } from '@mikro-orm/reflection';
import { MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { describeDeclaredMaster } from '../declaring/declared-master.js';

@Entity()
class Account extends MasterEntity {
  static override readonly CQRS_ID = 'account';
  @PrimaryKey()
  id!: number;
  @Property()
  name!: string;
}

describeDeclaredMaster('legacy decorators, types read from the source by ts-morph', () => ({
  entities: [Account],
  account: Account,
  options: { metadataProvider: TsMorphMetadataProvider, metadataCache: { enabled: false } },
}));
