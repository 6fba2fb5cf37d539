import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { Author, Filtered, Product, Serialized, StrPk, UuidPk } from '../golden/master-models.js';

/** Masters with every kind of key, and their replicas. */

const PairSchema = defineEntity({
  name: 'Pair',
  extends: MasterEntity,
  properties: { left: p.integer().primary(), right: p.string().primary(), note: p.text().nullable() },
});
export class Pair extends masterClass(PairSchema) {
  static override CQRS_ID = 'pair';
}
PairSchema.setClass(Pair);

const ProductRefSchema = defineEntity({
  name: 'ProductRef',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string().length(100),
    quantity: p.bigint('bigint'),
    price: p.double(),
    createdAt: p.datetime().columnType('timestamptz(6)'),
    active: p.boolean(),
  },
});
export class ProductRef extends replicaClass(ProductRefSchema) {
  static override CQRS_ID = 'product';
}
ProductRefSchema.setClass(ProductRef);

const AuthorRefSchema = defineEntity({
  name: 'AuthorRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
export class AuthorRef extends replicaClass(AuthorRefSchema) {
  static override CQRS_ID = 'author';
  static override CQRS_MAPPING = { id: 'id', name: 'name' } as const;
}
AuthorRefSchema.setClass(AuthorRef);

const UuidRefSchema = defineEntity({
  name: 'UuidRef',
  extends: ReplicaEntity,
  properties: { id: p.uuid().primary(), name: p.string() },
});
export class UuidRef extends replicaClass(UuidRefSchema) {
  static override CQRS_ID = 'uuid_pk';
}
UuidRefSchema.setClass(UuidRef);

const StrRefSchema = defineEntity({
  name: 'StrRef',
  extends: ReplicaEntity,
  properties: { code: p.string().length(40).primary(), name: p.string() },
});
export class StrRef extends replicaClass(StrRefSchema) {
  static override CQRS_ID = 'str_pk';
}
StrRefSchema.setClass(StrRef);

const PairRefSchema = defineEntity({
  name: 'PairRef',
  extends: ReplicaEntity,
  properties: { left: p.integer().primary(), right: p.string().primary(), note: p.text().nullable() },
});
export class PairRef extends replicaClass(PairRefSchema) {
  static override CQRS_ID = 'pair';
}
PairRefSchema.setClass(PairRef);

const FilteredRefSchema = defineEntity({
  name: 'FilteredRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
/** With a hook: entities, one by one. */
export class FilteredRef extends replicaClass(FilteredRefSchema) {
  static override CQRS_ID = 'filtered';
  static readonly deleted: unknown[] = [];
  static override async cqrsDelete(...[em, context]: Parameters<(typeof ReplicaEntity)['cqrsDelete']>): Promise<void> {
    FilteredRef.deleted.push(context.masterData['id']);
    await super.cqrsDelete(em, context);
  }
}
FilteredRefSchema.setClass(FilteredRef);

export const masters = [Product, Author, UuidPk, StrPk, Pair, Filtered, Serialized];
export const replicas = [ProductRef, AuthorRef, UuidRef, StrRef, PairRef, FilteredRef];
export { Author, Filtered, Product, Serialized, StrPk, UuidPk };
