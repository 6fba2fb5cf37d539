import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';

/** Masters and replicas with everything that a page could show wrongly. */

const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { city: p.string().nullable(), door: p.string().hidden().nullable() },
});

const PersonSchema = defineEntity({
  name: 'Person',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string(),
    score: p.integer().nullable(),
    born: p.date().nullable(),
    kind: p.enum(['cat', 'dog']).nullable(),
    notes: p.json().nullable(),
    balance: p.decimal().precision(20).scale(4).nullable(),
    secret: p.string().hidden().nullable(),
    address: () => p.embedded(Address).nullable(),
  },
});
export class Person extends masterClass(PersonSchema) {
  static override CQRS_ID = 'person';
  override isSyncInstance(): boolean {
    return this.name !== 'nobody';
  }
}
PersonSchema.setClass(Person);

const SeatSchema = defineEntity({
  name: 'Seat',
  extends: MasterEntity,
  properties: { row: p.integer().primary(), label: p.string().primary(), taken: p.boolean() },
});
/** With a composite key, and a serializer that lets out what its columns hide. */
export class Seat extends masterClass(SeatSchema) {
  static override CQRS_ID = 'seat';
}
SeatSchema.setClass(Seat);

const PersonRefSchema = defineEntity({
  name: 'PersonRef',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string().length(20),
    score: p.integer().nullable(),
    secret: p.string().hidden().nullable(),
  },
});
export class PersonRef extends replicaClass(PersonRefSchema) {
  static override CQRS_ID = 'person';
  static override CQRS_MAPPING = { id: 'id', name: 'name', score: 'score', secret: 'secret' } as const;
}
PersonRefSchema.setClass(PersonRef);
