import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import type { MetaContext } from '../../src/kernel/settings.js';

/** The models behind the recordings (see README.md in this folder), as masters of ours. */

const ProductSchema = defineEntity({
  name: 'Product',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string().length(100),
    quantity: p.integer(),
    price: p.decimal('string').precision(12).scale(2),
    createdAt: p.datetime().columnType('timestamptz(6)'),
    active: p.boolean(),
  },
});
export class Product extends masterClass(ProductSchema) {
  static override CQRS_ID = 'product';
}
ProductSchema.setClass(Product);

const AuthorSchema = defineEntity({
  name: 'Author',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string(), bio: p.text().nullable() },
});
export class Author extends masterClass(AuthorSchema) {
  static override CQRS_ID = 'author';
}
AuthorSchema.setClass(Author);

const BookSchema = defineEntity({
  name: 'Book',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), title: p.string(), author: () => p.manyToOne(Author), secret: p.string() },
});
export class Book extends masterClass(BookSchema) {
  static override CQRS_ID = 'book';
  static override CQRS_FIELDS = ['id', 'title', 'author'] as const;
}
BookSchema.setClass(Book);

const TrackedSchema = defineEntity({
  name: 'Tracked',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    name: p.string().nullable(),
    price: p.decimal('string').precision(12).scale(2).nullable(),
    author: () => p.manyToOne(Author).nullable(),
    happenedAt: p.datetime().columnType('timestamptz(6)').nullable(),
    uid: p.uuid().nullable(),
    untracked: p.integer().default(0),
  },
});
export class Tracked extends masterClass(TrackedSchema) {
  static override CQRS_ID = 'tracked';
  static override CQRS_TRACKED_FIELDS = ['name', 'price', 'author', 'happenedAt', 'uid'] as const;
}
TrackedSchema.setClass(Tracked);

const TrackedAllSchema = defineEntity({
  name: 'TrackedAll',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string(), num: p.integer() },
});
export class TrackedAll extends masterClass(TrackedAllSchema) {
  static override CQRS_ID = 'tracked_all';
  static override CQRS_TRACKED_FIELDS = '__all__' as const;
}
TrackedAllSchema.setClass(TrackedAll);

const UuidPkSchema = defineEntity({
  name: 'UuidPk',
  extends: MasterEntity,
  properties: { id: p.uuid().primary(), name: p.string() },
});
export class UuidPk extends masterClass(UuidPkSchema) {
  static override CQRS_ID = 'uuid_pk';
}
UuidPkSchema.setClass(UuidPk);

const StrPkSchema = defineEntity({
  name: 'StrPk',
  extends: MasterEntity,
  properties: { code: p.string().length(40).primary(), name: p.string() },
});
export class StrPk extends masterClass(StrPkSchema) {
  static override CQRS_ID = 'str_pk';
}
StrPkSchema.setClass(StrPk);

const KindsSchema = defineEntity({
  name: 'Kinds',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    char: p.string().nullable(),
    text: p.text().nullable(),
    integer: p.integer().nullable(),
    bigint: p.bigint('bigint').nullable(),
    flt: p.double().nullable(),
    dec2: p.decimal('string').precision(12).scale(2).nullable(),
    decBig: p.decimal('string').precision(38).scale(18).nullable(),
    boolean: p.boolean().nullable(),
    date: p.date().nullable(),
    dt: p.datetime().columnType('timestamptz(6)').nullable(),
    uid: p.uuid().nullable(),
    js: p.json<unknown>().nullable(),
  },
});
export class Kinds extends masterClass(KindsSchema) {
  static override CQRS_ID = 'kinds';
}
KindsSchema.setClass(Kinds);

const IpFieldSchema = defineEntity({
  name: 'IpField',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), ip: p.type('inet') },
});
export class IpField extends masterClass(IpFieldSchema) {
  static override CQRS_ID = 'ip_field';
}
IpFieldSchema.setClass(IpField);

const CustomDeleteSchema = defineEntity({
  name: 'CustomDelete',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
export class CustomDelete extends masterClass(CustomDeleteSchema) {
  static override CQRS_ID = 'custom_delete';
  override getCustomCqrsDeleteData() {
    return { reason: 'void', nested: { n: 1 } };
  }
}
CustomDeleteSchema.setClass(CustomDelete);

const WithMetaSchema = defineEntity({
  name: 'WithMeta',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
export class WithMeta extends masterClass(WithMetaSchema) {
  static override CQRS_ID = 'with_meta';
  override getCqrsMeta({ signalType, instanceData, previousData }: MetaContext) {
    return {
      user: { id: 7, roles: ['a', 'b'] },
      signal_type: signalType,
      has_instance_data: Boolean(instanceData),
      previous_data: previousData,
    };
  }
}
WithMetaSchema.setClass(WithMeta);

const SerializedSchema = defineEntity({
  name: 'Serialized',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string(), author: () => p.manyToOne(Author) },
});
export class Serialized extends masterClass(SerializedSchema) {
  static override CQRS_ID = 'serialized';
  static override CQRS_SERIALIZER = (row: Serialized) => ({
    id: row.id,
    name: row.name,
    author: { id: row.author.id, name: row.author.name },
  });
  static override relateCqrsSerialization() {
    return ['author'];
  }
}
SerializedSchema.setClass(Serialized);

const FilteredSchema = defineEntity({
  name: 'Filtered',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
export class Filtered extends masterClass(FilteredSchema) {
  static override CQRS_ID = 'filtered';
  override isSyncInstance(): boolean {
    return !this.name.startsWith('skip');
  }
}
FilteredSchema.setClass(Filtered);

export const models = [
  Product,
  Author,
  Book,
  Tracked,
  TrackedAll,
  UuidPk,
  StrPk,
  Kinds,
  IpField,
  CustomDelete,
  WithMeta,
  Serialized,
  Filtered,
];
