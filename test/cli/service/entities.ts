import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { MasterEntity, ReplicaEntity } from '../../../src/index.js';

@Entity()
export class Account extends MasterEntity {
  static override CQRS_ID = 'account';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  name!: string;
}

@Entity()
export class AccountRef extends ReplicaEntity {
  static override CQRS_ID = 'account';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  name!: string;
}

/** Says when it begins, and never comes to an end. */
@Entity()
export class StuckRef extends ReplicaEntity {
  static override CQRS_ID = 'stuck';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  name!: string;

  static override cqrsCreate(): Promise<never> {
    process.stdout.write('stuck\n');
    return new Promise(() => {});
  }
}
