import { defineEntity, p } from '@mikro-orm/core';
import { ReplicaEntity } from '../../../../src/replication/replica/definition/replica-entity.js';

/** An entity with a column of every kind that travels. */
export const KindsSchema = defineEntity({
  name: 'KindsRef',
  tableName: 'kinds_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary(),
    small: p.smallint().nullable(),
    big: p.bigint('bigint').nullable(),
    flt: p.double().nullable(),
    single: p.float().columnType('real').nullable(),
    dec2: p.decimal('string').precision(12).scale(2).nullable(),
    decBig: p.decimal('string').precision(38).scale(18).nullable(),
    decFree: p.decimal('string').columnType('numeric').nullable(),
    flag: p.boolean().nullable(),
    short: p.string().length(3).nullable(),
    fixed: p.character().length(4).nullable(),
    text: p.text().nullable(),
    day: p.date().nullable(),
    clock: p.time().columnType('time(6)').nullable(),
    at: p.datetime().length(6).nullable(),
    seconds: p.datetime().length(0).nullable(),
    naive: p.datetime().columnType('timestamp(6)').nullable(),
    uid: p.uuid().nullable(),
    js: p.json<unknown>().nullable(),
    words: p.array().nullable(),
    numbers: p.array().columnType('bigint[]').nullable(),
    bytes: p.blob().nullable(),
    span: p.interval().nullable(),
    state: p.enum(['open', 'closed']).nullable(),
  },
});
export class KindsRef extends KindsSchema.class {
  static CQRS_ID = 'kinds';
}
KindsSchema.setClass(KindsRef);
