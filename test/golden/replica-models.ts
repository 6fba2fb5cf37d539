import { defineEntity, type EntityManager, p } from '@mikro-orm/core';
import { replica, replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import type { CreateContext } from '../../src/replication/replica/definition/replica-hooks.js';

/** The models behind the recordings (see README.md in this folder), as replicas of ours. */

const id = p.integer().primary().autoincrement(false);
const name = p.string();
const micros = p.datetime().columnType('timestamptz(6)');
const named = (className: string) =>
  defineEntity({ name: className, extends: ReplicaEntity, properties: { id, name } });

const Product = defineEntity({
  name: 'ProductRef',
  extends: ReplicaEntity,
  properties: {
    id,
    name: p.string().length(100),
    quantity: p.integer(),
    price: p.decimal('string').precision(12).scale(2),
    createdAt: micros,
    active: p.boolean(),
  },
});
const Author = defineEntity({
  name: 'AuthorRef',
  extends: ReplicaEntity,
  properties: { id, name, bio: p.text().nullable() },
});
const Book = defineEntity({
  name: 'BookRef',
  extends: ReplicaEntity,
  properties: { id, title: p.string(), author: () => p.manyToOne(Author) },
});
const Tracked = defineEntity({
  name: 'TrackedRef',
  extends: ReplicaEntity,
  properties: {
    id,
    name: p.string().nullable(),
    price: p.decimal('string').precision(12).scale(2).nullable(),
    author: () => p.manyToOne(Author).nullable(),
    happenedAt: p.datetime().columnType('timestamptz(6)').nullable(),
    uid: p.uuid().nullable(),
    untracked: p.integer(),
  },
});
const Kinds = defineEntity({
  name: 'KindsRef',
  extends: ReplicaEntity,
  properties: {
    id,
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
const SerializedSchema = defineEntity({
  name: 'SerializedRef',
  extends: ReplicaEntity,
  properties: { id, name, authorName: p.string() },
});
/** Its master nests the author; the replica keeps the author's name. */
class Serialized extends replicaClass(SerializedSchema) {
  static override CQRS_ID = 'serialized';
  static override CQRS_CUSTOM_SERIALIZATION = true;
  static override async cqrsCreate(em: EntityManager, { mappedData }: CreateContext): Promise<object> {
    return em.create(Serialized, flatten(mappedData) as never);
  }
  override cqrsUpdate(em: EntityManager, { mappedData }: CreateContext): void {
    em.assign(this as object, flatten(mappedData));
  }
}
SerializedSchema.setClass(Serialized);

function flatten({ id: key, name: title, author }: Record<string, unknown>): object {
  return { id: key, name: title, authorName: (author as { name: string }).name };
}

/** What tracking said of each change, as hooks are told. */
export const previous: (Readonly<Record<string, unknown>> | null)[] = [];
const remember = (context: CreateContext): void => void previous.push(context.previousData);

export const models = [
  replica(Product, { id: 'product' }),
  replica(Author, { id: 'author' }),
  replica(Book, { id: 'book' }),
  replica(Tracked, {
    id: 'tracked',
    cqrsCreate: async (em, context) => (remember(context), em.create(Tracked, context.mappedData as never)),
    cqrsUpdate: (row, em, context) => (remember(context), void em.assign(row, context.mappedData as never)),
  }),
  replica(
    defineEntity({
      name: 'TrackedAllRef',
      extends: ReplicaEntity,
      properties: { id, name, num: p.integer() },
    }),
    { id: 'tracked_all' },
  ),
  replica(defineEntity({ name: 'UuidPkRef', extends: ReplicaEntity, properties: { id: p.uuid().primary(), name } }), {
    id: 'uuid_pk',
  }),
  replica(
    defineEntity({
      name: 'StrPkRef',
      extends: ReplicaEntity,
      properties: { code: p.string().length(40).primary(), name },
    }),
    { id: 'str_pk' },
  ),
  replica(Kinds, { id: 'kinds' }),
  replica(
    defineEntity({
      name: 'IpFieldRef',
      extends: ReplicaEntity,
      properties: { id, ip: p.string().columnType('inet') },
    }),
    { id: 'ip_field' },
  ),
  replica(named('CustomDeleteRef'), { id: 'custom_delete' }),
  replica(named('WithMetaRef'), { id: 'with_meta' }),
  Serialized,
  replica(named('FilteredRef'), { id: 'filtered' }),
  replica(named('FailingRef'), {
    id: 'failing',
    cqrsCreate: async () => {
      throw new Error('it always fails');
    },
  }),
];
