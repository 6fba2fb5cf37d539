import type { EntityManager } from '@mikro-orm/core';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { replicaClass, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import type { CreateContext, DeleteContext } from '../../../src/replication/replica/definition/replica-hooks.js';
import * as columns from './columns.js';

/** Our replicas, each the counterpart of a model in `django/interop/replicas/models.py`. */

const SampleSchema = defineEntity({
  name: 'SampleRef',
  tableName: 'sample',
  extends: ReplicaEntity,
  properties: columns.sample(),
});
export class SampleRef extends replicaClass(SampleSchema) {
  static override CQRS_ID = 'sample';
}
SampleSchema.setClass(SampleRef);

const WriterSchema = defineEntity({
  name: 'WriterRef',
  tableName: 'writer',
  extends: ReplicaEntity,
  properties: columns.named(),
});
export class WriterRef extends replicaClass(WriterSchema) {
  static override CQRS_ID = 'writer';
}
WriterSchema.setClass(WriterRef);

const BookSchema = defineEntity({
  name: 'BookRef',
  tableName: 'book',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    title: p.string().length(100),
    writer: () => p.manyToOne(WriterRef),
    editor: () => p.manyToOne(WriterRef).nullable(),
  },
});
export class BookRef extends replicaClass(BookSchema) {
  static override CQRS_ID = 'book';
}
BookSchema.setClass(BookRef);

const UuidKeyedSchema = defineEntity({
  name: 'UuidKeyedRef',
  tableName: 'uuid_keyed',
  extends: ReplicaEntity,
  properties: columns.uuidKeyed(),
});
export class UuidKeyedRef extends replicaClass(UuidKeyedSchema) {
  static override CQRS_ID = 'uuid_keyed';
}
UuidKeyedSchema.setClass(UuidKeyedRef);

const TextKeyedSchema = defineEntity({
  name: 'TextKeyedRef',
  tableName: 'text_keyed',
  extends: ReplicaEntity,
  properties: columns.textKeyed(),
});
export class TextKeyedRef extends replicaClass(TextKeyedSchema) {
  static override CQRS_ID = 'text_keyed';
}
TextKeyedSchema.setClass(TextKeyedRef);

const BigKeyedSchema = defineEntity({
  name: 'BigKeyedRef',
  tableName: 'big_keyed',
  extends: ReplicaEntity,
  properties: columns.bigKeyed(),
});
export class BigKeyedRef extends replicaClass(BigKeyedSchema) {
  static override CQRS_ID = 'big_keyed';
}
BigKeyedSchema.setClass(BigKeyedRef);

const TrackedSchema = defineEntity({
  name: 'TrackedRef',
  tableName: 'tracked',
  extends: ReplicaEntity,
  properties: {
    ...columns.tracked(),
    writer: () => p.manyToOne(WriterRef).nullable(),
    previous: p.json<unknown>().nullable(),
  },
});
/** Keeps what each message says of the values before. */
export class TrackedRef extends replicaClass(TrackedSchema) {
  static override CQRS_ID = 'tracked';
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    const row = await super.cqrsCreate(em, context);
    return em.assign(row as TrackedRef, { previous: context.previousData });
  }
  override cqrsUpdate(em: EntityManager, context: CreateContext): void {
    em.assign(this as TrackedRef, { ...context.mappedData, previous: context.previousData });
  }
}
TrackedSchema.setClass(TrackedRef);

const NotedSchema = defineEntity({
  name: 'NotedRef',
  tableName: 'noted',
  extends: ReplicaEntity,
  properties: { ...columns.named(), note: p.json<unknown>().nullable() },
});
/** Keeps the meta of each message. */
export class NotedRef extends replicaClass(NotedSchema) {
  static override CQRS_ID = 'noted';
  static override CQRS_META = true;
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    const row = await super.cqrsCreate(em, context);
    return em.assign(row as NotedRef, { note: context.meta });
  }
  override cqrsUpdate(em: EntityManager, context: CreateContext): void {
    em.assign(this as NotedRef, { ...context.mappedData, note: context.meta });
  }
}
NotedSchema.setClass(NotedRef);

interface NestedAlbum {
  readonly id: number;
  readonly name: string;
  readonly writer: { readonly name: string };
}
const AlbumSchema = defineEntity({
  name: 'AlbumRef',
  tableName: 'album',
  extends: ReplicaEntity,
  properties: { ...columns.named(), writerName: p.string() },
});
/** Flattens what the master's serializer nests. */
export class AlbumRef extends replicaClass(AlbumSchema) {
  static override CQRS_ID = 'album';
  static override CQRS_CUSTOM_SERIALIZATION = true;
  static override async cqrsCreate(em: EntityManager, { mappedData }: CreateContext): Promise<object> {
    return em.create(AlbumRef, AlbumRef.flat(mappedData));
  }
  override cqrsUpdate(em: EntityManager, { mappedData }: CreateContext): void {
    em.assign(this as AlbumRef, AlbumRef.flat(mappedData));
  }
  private static flat(data: Record<string, unknown>) {
    const { id, name, writer } = data as unknown as NestedAlbum;
    return { id, name, writerName: writer.name };
  }
}
AlbumSchema.setClass(AlbumRef);

const RemovalSchema = defineEntity({
  name: 'Removal',
  properties: { id: p.integer().primary().autoincrement(false), custom: p.json<unknown>().nullable() },
});
export class Removal extends RemovalSchema.class {}
RemovalSchema.setClass(Removal);

const RemovableSchema = defineEntity({
  name: 'RemovableRef',
  tableName: 'removable',
  extends: ReplicaEntity,
  properties: columns.named(),
});
/** Remembers why its rows went. */
export class RemovableRef extends replicaClass(RemovableSchema) {
  static override CQRS_ID = 'removable';
  static override async cqrsDelete(em: EntityManager, context: DeleteContext): Promise<void> {
    const { id, custom } = context.masterData;
    em.create(Removal, { id: id as number, custom });
    await super.cqrsDelete(em, context);
  }
}
RemovableSchema.setClass(RemovableRef);

const StockSchema = defineEntity({
  name: 'StockRef',
  tableName: 'stock',
  extends: ReplicaEntity,
  properties: columns.stock(),
});
export class StockRef extends replicaClass(StockSchema) {
  static override CQRS_ID = 'stock';
}
StockSchema.setClass(StockRef);

const FragileSchema = defineEntity({
  name: 'FragileRef',
  tableName: 'fragile',
  extends: ReplicaEntity,
  properties: columns.named(),
});
/** Refuses every row until it is permitted. */
export class FragileRef extends replicaClass(FragileSchema) {
  static override CQRS_ID = 'fragile';
  static permitted = false;
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    if (!FragileRef.permitted) throw new Error('not yet');
    return super.cqrsCreate(em, context);
  }
}
FragileSchema.setClass(FragileRef);

export const replicas = [
  SampleRef, WriterRef, BookRef, UuidKeyedRef, TextKeyedRef, BigKeyedRef, TrackedRef, NotedRef, AlbumRef, Removal, RemovableRef,
  StockRef, FragileRef,
]; // prettier-ignore
