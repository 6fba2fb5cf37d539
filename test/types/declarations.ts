/**
 * What the compiler has to say about declarations. Nothing here runs: `npm run typecheck` fails when a line marked with
 * `@ts-expect-error` compiles, or any other does not.
 */
import { type Collection, defineEntity, MikroORM, type Options, p } from '@mikro-orm/postgresql';
import { Entity, ManyToOne, OneToMany, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import {
  type BulkResult,
  Cqrs,
  type FieldsOf,
  type MappingOf,
  Master,
  master,
  masterClass,
  MasterEntity,
  masterProperties,
  replica,
  replicaClass,
  ReplicaEntity,
} from 'mikro-orm-cqrs';

// ---- fields of a decorated master

@Entity()
export class Account extends MasterEntity {
  static override CQRS_ID = 'account';
  static override CQRS_FIELDS = ['id', 'name', 'parent'] as const satisfies FieldsOf<Account>;
  static override CQRS_TRACKED_FIELDS = ['name'] as const satisfies FieldsOf<Account>;

  @PrimaryKey({ type: 'integer' })
  id!: number;
  @Property({ type: 'string' })
  name!: string;
  @ManyToOne(() => Account, { nullable: true })
  parent?: Account;
  @OneToMany(() => Account, (account) => account.parent)
  children!: Collection<Account>;

  shout(): string {
    return this.name.toUpperCase();
  }
}

// @ts-expect-error there is no such property
export const misspelt = ['id', 'nam'] as const satisfies FieldsOf<Account>;
// @ts-expect-error a method has no column
export const methods = ['shout'] as const satisfies FieldsOf<Account>;
// @ts-expect-error a collection has no column
export const collections = ['children'] as const satisfies FieldsOf<Account>;
// @ts-expect-error every message has the revision; it is no field to choose
export const own = ['cqrsRevision'] as const satisfies FieldsOf<Account>;

// @ts-expect-error an id is a text
export class WrongId extends MasterEntity {
  static override CQRS_ID = 7;
}
// @ts-expect-error a switch is a boolean
export class WrongSwitch extends MasterEntity {
  static override CQRS_PRODUCE = 'no';
}
// @ts-expect-error a serializer is no dotted path
export class WrongSerializer extends MasterEntity {
  static override CQRS_SERIALIZER = 'app.serializers.Account';
}

export class Overrides extends Account {
  override isSyncInstance(): boolean {
    return this.name !== '';
  }
}
export class WrongOverride extends Account {
  // @ts-expect-error a promise would always be true
  override async isSyncInstance(): Promise<boolean> {
    return false;
  }
}

// ---- fields of a schema

const BillSchema = defineEntity({
  name: 'Bill',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), total: p.decimal('string'), account: () => p.manyToOne(Account) },
});
export class Bill extends masterClass(BillSchema) {
  static override CQRS_ID = 'bill';
  static override CQRS_FIELDS = ['id', 'total', 'account'] as const satisfies FieldsOf<Bill>;
}
BillSchema.setClass(Bill);

master(BillSchema, {
  id: 'bill',
  fields: ['id', 'total'],
  trackedFields: ['account'],
  isSyncInstance: (bill) => bill.total !== '0',
  serializer: (bill) => ({ total: bill.total }),
});
// @ts-expect-error there is no such property
master(BillSchema, { id: 'bill', fields: ['id', 'totl'] });
// @ts-expect-error there is no such property
master(BillSchema, { id: 'bill', trackedFields: ['totl'] });
// @ts-expect-error there is no such property
master(BillSchema, { id: 'bill', serializer: (bill) => ({ total: bill.totl }) });
// @ts-expect-error an id is mandatory
master(BillSchema, { fields: '__all__' });
// @ts-expect-error there is no such option
master(BillSchema, { id: 'bill', field: ['id'] });

const PlainSchema = defineEntity({
  name: 'Plain',
  properties: { id: p.integer().primary(), name: p.string(), ...masterProperties },
});
master(PlainSchema, { id: 'plain', fields: ['id', 'name'] });
// @ts-expect-error there is no such property
master(PlainSchema, { id: 'plain', fields: ['nam'] });

// ---- a mixin keeps what the base has

abstract class UserBase {
  static readonly region: string = 'eu';
  id!: number;
  label(): string {
    return String(this.id);
  }
}
export class Card extends Master(UserBase) {
  static override CQRS_ID = 'card';
  static override CQRS_FIELDS = ['id', 'pan'] as const satisfies FieldsOf<Card>;
  pan!: string;
}
export const region: string = Card.region;
export const label = (card: Card): string => `${card.label()} ${card.cqrsRevision}`;

// ---- mappings of a replica

export class AccountRef extends ReplicaEntity {
  static override CQRS_ID = 'account';
  static override CQRS_MAPPING = { id: 'id', full_name: 'name' } as const satisfies MappingOf<AccountRef>;
  id!: number;
  name!: string;
}
// @ts-expect-error there is no such property
export const misspeltMapping = { id: 'id', name: 'nam' } as const satisfies MappingOf<AccountRef>;
// @ts-expect-error the library fills it in itself
export const ownMapping = { id: 'id', cqrs_revision: 'cqrsRevision' } as const satisfies MappingOf<AccountRef>;

const BillRefSchema = defineEntity({
  name: 'BillRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), total: p.decimal('string') },
});
export class BillRef extends replicaClass(BillRefSchema) {
  static override CQRS_ID = 'bill';
}
replica(BillRefSchema, { id: 'bill', mapping: { id: 'id', amount: 'total' } });
// @ts-expect-error there is no such property
replica(BillRefSchema, { id: 'bill', mapping: { id: 'id', amount: 'totl' } });

// ---- working with masters

export const cqrs = new Cqrs({ transport: 'MemoryTransport', master: { messageTtlSeconds: null } });
// @ts-expect-error there is no such option
export const misspeltSetting = new Cqrs({ transport: 'MemoryTransport', master: { messageTtl: 5 } });
// @ts-expect-error there is no such transport
export const misspeltTransport = new Cqrs({ transport: 'RabbitTransport' });

export const options: Options = { dbName: 'shop', entities: [Account, BillSchema, Card], extensions: [cqrs] };

export async function work(): Promise<void> {
  const orm = await MikroORM.init(options);
  const em = orm.em.fork();

  // none of the library's columns has to be given
  const account = em.create(Account, { name: 'ada' });
  em.create(Bill, { total: '1.00', account });
  em.create(PlainSchema, { name: 'plain' });
  // @ts-expect-error the user's own columns do
  em.create(Bill, { account });

  const created: BulkResult<Account> = await Account.cqrs(em).bulkCreate([
    { name: 'ada' },
    { name: 'eve', parent: account },
  ]);
  const keys: readonly number[] = created.keys;
  await Account.cqrs(em).bulkUpdate({ id: { $in: [...keys] }, name: { $like: 'a%' } }, { name: 'bob' });
  await Account.cqrs(em).bulkUpsert([{ id: 1, name: 'ada' }], { onConflictFields: ['name'] });
  await Account.cqrs(em).bulkDelete({ name: 'eve' });
  await Bill.cqrs(em).bulkCreate([{ total: '1', account: 1 }]);
  await masterClass(PlainSchema)
    .cqrs(em)
    .bulkCreate([{ name: 'plain' }]);
  // @ts-expect-error a mandatory property is missing
  await Account.cqrs(em).bulkCreate([{}]);
  // @ts-expect-error there is no such property
  await Account.cqrs(em).bulkUpdate({ nam: 'x' }, { name: 'bob' });
  // @ts-expect-error there is no such property
  await Account.cqrs(em).bulkUpdate({ name: 'x' }, { nam: 'bob' });
  // @ts-expect-error there is no such property
  await Account.cqrs(em).bulkUpsert([{ name: 'ada' }], { onConflictFields: ['nam'] });

  await Account.callPostBulkCreate([{ id: 1 }], { em });
  // @ts-expect-error the transaction has to be named
  await Account.callPostUpdate([account]);

  const sent: boolean = await account.cqrsSync({ queue: 'reports' });
  const revision: number = account.cqrsRevision;
  await account.cqrsSync({ em, queue: `${sent}${revision}` });
}
