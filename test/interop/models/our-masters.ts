import { defineEntity, p } from '@mikro-orm/postgresql';
import type { MetaContext } from '../../../src/kernel/settings.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import * as columns from './columns.js';

/** Our masters, each the counterpart of a model in `django/interop/masters/models.py`. */

const SampleSchema = defineEntity({ name: 'Sample', extends: MasterEntity, properties: columns.sample() });
export class Sample extends masterClass(SampleSchema) {
  static override CQRS_ID = 'sample';
}
SampleSchema.setClass(Sample);

const WriterSchema = defineEntity({ name: 'Writer', extends: MasterEntity, properties: columns.named() });
export class Writer extends masterClass(WriterSchema) {
  static override CQRS_ID = 'writer';
}
WriterSchema.setClass(Writer);

const BookSchema = defineEntity({
  name: 'Book',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    title: p.string().length(100),
    writer: () => p.manyToOne(Writer),
    editor: () => p.manyToOne(Writer).nullable(),
  },
});
export class Book extends masterClass(BookSchema) {
  static override CQRS_ID = 'book';
}
BookSchema.setClass(Book);

const toWriter = () => ({ id: p.integer().primary().autoincrement(false), writer: () => p.manyToOne(Writer) });

const ReviewSchema = defineEntity({ name: 'Review', extends: MasterEntity, properties: toWriter() });
export class Review extends masterClass(ReviewSchema) {
  static override CQRS_ID = 'review';
}
ReviewSchema.setClass(Review);

const RatingSchema = defineEntity({ name: 'Rating', extends: MasterEntity, properties: toWriter() });
export class Rating extends masterClass(RatingSchema) {
  static override CQRS_ID = 'rating';
}
RatingSchema.setClass(Rating);

const UuidKeyedSchema = defineEntity({ name: 'UuidKeyed', extends: MasterEntity, properties: columns.uuidKeyed() });
export class UuidKeyed extends masterClass(UuidKeyedSchema) {
  static override CQRS_ID = 'uuid_keyed';
}
UuidKeyedSchema.setClass(UuidKeyed);

const TextKeyedSchema = defineEntity({ name: 'TextKeyed', extends: MasterEntity, properties: columns.textKeyed() });
export class TextKeyed extends masterClass(TextKeyedSchema) {
  static override CQRS_ID = 'text_keyed';
}
TextKeyedSchema.setClass(TextKeyed);

const BigKeyedSchema = defineEntity({ name: 'BigKeyed', extends: MasterEntity, properties: columns.bigKeyed() });
export class BigKeyed extends masterClass(BigKeyedSchema) {
  static override CQRS_ID = 'big_keyed';
}
BigKeyedSchema.setClass(BigKeyed);

const TrackedSchema = defineEntity({
  name: 'Tracked',
  extends: MasterEntity,
  properties: { ...columns.tracked(), writer: () => p.manyToOne(Writer).nullable() },
});
export class Tracked extends masterClass(TrackedSchema) {
  static override CQRS_ID = 'tracked';
  static override CQRS_TRACKED_FIELDS = ['name', 'price', 'writer', 'at', 'uid'] as const;
}
TrackedSchema.setClass(Tracked);

const NotedSchema = defineEntity({ name: 'Noted', extends: MasterEntity, properties: columns.named() });
export class Noted extends masterClass(NotedSchema) {
  static override CQRS_ID = 'noted';
  override getCqrsMeta({ signalType }: MetaContext) {
    return { by: 'Zoë', signal: signalType, roles: ['a', { n: 1 }] };
  }
}
NotedSchema.setClass(Noted);

const AlbumSchema = defineEntity({
  name: 'Album',
  extends: MasterEntity,
  properties: { ...columns.named(), writer: () => p.manyToOne(Writer) },
});
export class Album extends masterClass(AlbumSchema) {
  static override CQRS_ID = 'album';
  static override CQRS_SERIALIZER = ({ id, name, writer }: Album) => ({
    id,
    name,
    writer: { id: writer.id, name: writer.name },
  });
  static override relateCqrsSerialization() {
    return ['writer'];
  }
}
AlbumSchema.setClass(Album);

const RemovableSchema = defineEntity({ name: 'Removable', extends: MasterEntity, properties: columns.named() });
export class Removable extends masterClass(RemovableSchema) {
  static override CQRS_ID = 'removable';
  override getCustomCqrsDeleteData() {
    return { reason: `${this.name} is void`, steps: [1, 2] };
  }
}
RemovableSchema.setClass(Removable);

const StockSchema = defineEntity({ name: 'Stock', extends: MasterEntity, properties: columns.stock() });
export class Stock extends masterClass(StockSchema) {
  static override CQRS_ID = 'stock';
  override isSyncInstance(): boolean {
    return this.city !== 'hidden';
  }
}
StockSchema.setClass(Stock);

const FragileSchema = defineEntity({ name: 'Fragile', extends: MasterEntity, properties: columns.named() });
export class Fragile extends masterClass(FragileSchema) {
  static override CQRS_ID = 'fragile';
}
FragileSchema.setClass(Fragile);

const OddTimeSchema = defineEntity({ name: 'OddTime', extends: MasterEntity, properties: columns.oddTime() });
export class OddTime extends masterClass(OddTimeSchema) {
  static override CQRS_ID = 'odd_time';
}
OddTimeSchema.setClass(OddTime);

const OddDurationSchema = defineEntity({
  name: 'OddDuration',
  extends: MasterEntity,
  properties: columns.oddDuration(),
});
export class OddDuration extends masterClass(OddDurationSchema) {
  static override CQRS_ID = 'odd_duration';
}
OddDurationSchema.setClass(OddDuration);

const OddBytesSchema = defineEntity({ name: 'OddBytes', extends: MasterEntity, properties: columns.oddBytes() });
export class OddBytes extends masterClass(OddBytesSchema) {
  static override CQRS_ID = 'odd_bytes';
}
OddBytesSchema.setClass(OddBytes);

const OddOwnerSchema = defineEntity({
  name: 'OddOwner',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), owner: () => p.manyToOne(UuidKeyed) },
});
export class OddOwner extends masterClass(OddOwnerSchema) {
  static override CQRS_ID = 'odd_owner';
}
OddOwnerSchema.setClass(OddOwner);

export const masters = [
  Sample, Writer, Book, Review, Rating, UuidKeyed, TextKeyed, BigKeyed, Tracked, Noted, Album, Removable, Stock, Fragile,
  OddTime, OddDuration, OddBytes, OddOwner,
]; // prettier-ignore
