import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../../src/index.js';

/** The master as it is deployed first, with `produce` false, and then. */
export function accountMaster(produce: boolean) {
  const schema = defineEntity({
    name: 'Account',
    extends: MasterEntity,
    properties: { id: p.integer().primary(), name: p.string() },
  });
  class Account extends masterClass(schema) {
    static override CQRS_ID = 'account';
    static override CQRS_PRODUCE = produce;
  }
  schema.setClass(Account);
  return Account;
}

const AccountRefSchema = defineEntity({
  name: 'AccountRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
export class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);
