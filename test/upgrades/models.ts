import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { type CreateContext, masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../src/index.js';

const columns = {
  id: p.integer().primary().autoincrement(false),
  name: p.text(),
  amount: p.decimal('string').precision(20).scale(4).nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  data: p.json<unknown>().nullable(),
};

const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties: columns });
export class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['name'] as const;
}
AccountSchema.setClass(Account);

const AccountRefSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: columns,
});
export class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);

/** The same through user code. */
const WatchedRefSchema = defineEntity({
  name: 'WatchedRef',
  tableName: 'watched_ref',
  extends: ReplicaEntity,
  properties: columns,
});
export class WatchedRef extends replicaClass(WatchedRefSchema) {
  static override CQRS_ID = 'watched';
  static override cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    return super.cqrsCreate(em, context);
  }
}
WatchedRefSchema.setClass(WatchedRef);
