import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../../src/index.js';

// A key of two columns, one of them a text: the one that paging finds hardest.
const columns = {
  region: p.string().primary(),
  number: p.integer().primary().autoincrement(false),
  name: p.string(),
  balance: p.decimal('string').precision(12).scale(2),
  openedAt: p.datetime().columnType('timestamptz(6)'),
};

const PaymentSchema = defineEntity({
  name: 'ScalePayment',
  tableName: 'payment',
  extends: MasterEntity,
  properties: columns,
});
export class Payment extends masterClass(PaymentSchema) {
  static override CQRS_ID = 'payment';
}
PaymentSchema.setClass(Payment);

const PaymentRefSchema = defineEntity({
  name: 'ScalePaymentRef',
  tableName: 'payment',
  extends: ReplicaEntity,
  properties: columns,
});
export class PaymentRef extends replicaClass(PaymentRefSchema) {
  static override CQRS_ID = 'payment';
}
PaymentRefSchema.setClass(PaymentRef);
