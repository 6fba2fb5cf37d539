import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import type { WireObject } from '../../../src/wire/values.js';
import { ReplicaEntity } from '../../../src/index.js';
import type { EntityManager } from '@mikro-orm/core';
import type { SaveContext } from '../../../src/replication/replica/definition/replica-hooks.js';

/** Maps some of what its master sends, hides one of that, and complains about what it does not map. */
@Entity()
export class PatientRef extends ReplicaEntity {
  static override CQRS_ID = 'patient';
  static override CQRS_MAPPING = { id: 'id', name: 'name', pin: 'pin', notes: 'notes' };

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string', length: 20 })
  name!: string;

  @Property({ type: 'string', hidden: true, nullable: true })
  pin?: string | null;

  @Property({ type: 'json', nullable: true })
  notes?: unknown;

  static override cqrsSave(
    em: EntityManager,
    masterData: WireObject,
    context: SaveContext,
  ): ReturnType<typeof ReplicaEntity.cqrsSave> {
    if (masterData['name'] === 'quoted')
      throw new Error(`no room for ${String(masterData['ssn'])}, ${String(masterData['pin'])}`);
    return super.cqrsSave(em, masterData, context);
  }
}

/** Reads by itself what comes under names of its own. */
@Entity()
export class CustomRef extends ReplicaEntity {
  static override CQRS_ID = 'custom';
  static override CQRS_CUSTOM_SERIALIZATION = true;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string', nullable: true })
  ssn?: string | null;

  static override cqrsCreate(): Promise<void> {
    return Promise.reject(new Error('not today'));
  }
}

/** Whose rows must not be named. */
@Entity()
export class TokenRef extends ReplicaEntity {
  static override CQRS_ID = 'token';

  @PrimaryKey({ type: 'string', hidden: true })
  id!: string;

  @Property({ type: 'string', length: 3 })
  name!: string;
}
