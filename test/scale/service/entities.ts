import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../../src/index.js';

// Two kinds of key that paging finds hard: of two columns, one of them a text; and in no order at all.
const content = {
  name: p.string(),
  balance: p.decimal('string').precision(12).scale(2),
  openedAt: p.datetime().columnType('timestamptz(6)'),
};
const payment = { region: p.string().primary(), number: p.integer().primary().autoincrement(false), ...content };
const transfer = { id: p.uuid().primary(), number: p.integer(), ...content };

const PaymentSchema = defineEntity({
  name: 'ScalePayment',
  tableName: 'payment',
  extends: MasterEntity,
  properties: payment,
});
class Payment extends masterClass(PaymentSchema) {
  static override CQRS_ID = 'payment';
}
PaymentSchema.setClass(Payment);

const PaymentRefSchema = defineEntity({
  name: 'ScalePaymentRef',
  tableName: 'payment',
  extends: ReplicaEntity,
  properties: payment,
});
class PaymentRef extends replicaClass(PaymentRefSchema) {
  static override CQRS_ID = 'payment';
}
PaymentRefSchema.setClass(PaymentRef);

const TransferSchema = defineEntity({
  name: 'ScaleTransfer',
  tableName: 'transfer',
  extends: MasterEntity,
  properties: transfer,
});
class Transfer extends masterClass(TransferSchema) {
  static override CQRS_ID = 'transfer';
}
TransferSchema.setClass(Transfer);

const TransferRefSchema = defineEntity({
  name: 'ScaleTransferRef',
  tableName: 'transfer',
  extends: ReplicaEntity,
  properties: transfer,
});
class TransferRef extends replicaClass(TransferRefSchema) {
  static override CQRS_ID = 'transfer';
}
TransferRefSchema.setClass(TransferRef);

export const MASTERS = [Payment, Transfer];
export const REPLICAS = [PaymentRef, TransferRef];
