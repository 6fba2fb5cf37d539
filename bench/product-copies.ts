import { setTimeout } from 'node:timers/promises';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { replicaClass, ReplicaEntity } from 'mikro-orm-cqrs';

/** How long a change of a `ThrottledProductCopy` waits. */
const THROTTLE_MS = 10;

/** The columns of a copy. */
export const copyProperties = () => ({
  id: p.integer().primary().autoincrement(false),
  name: p.string().length(60_000),
  quantity: p.integer(),
  price: p.decimal('string').precision(12).scale(2),
  createdAt: p.datetime().columnType('timestamptz(6)'),
  active: p.boolean(),
});

const copySchema = defineEntity({
  name: 'ProductCopy',
  tableName: 'product_copies',
  extends: ReplicaEntity,
  properties: copyProperties(),
});
/** The replica of a product, written by the fast path. */
export class ProductCopy extends replicaClass(copySchema) {
  static override CQRS_ID = 'product';
}
copySchema.setClass(ProductCopy);

const hookedSchema = defineEntity({
  name: 'HookedProductCopy',
  tableName: 'product_copies',
  extends: ReplicaEntity,
  properties: copyProperties(),
});
/** The same with a method of its own, through which every change goes. */
export class HookedProductCopy extends replicaClass(hookedSchema) {
  static override CQRS_ID = 'product';
  override cqrsUpdate(...[em, { mappedData }]: Parameters<ReplicaEntity['cqrsUpdate']>): Promise<void> | void {
    em.assign(this as object, mappedData);
  }
}
hookedSchema.setClass(HookedProductCopy);

const throttledSchema = defineEntity({
  name: 'ThrottledProductCopy',
  tableName: 'product_copies',
  extends: ReplicaEntity,
  properties: copyProperties(),
});
/** The same, where each change waits for something that is none of the servers: a call of another service, say. */
export class ThrottledProductCopy extends replicaClass(throttledSchema) {
  static override CQRS_ID = 'product';
  override async cqrsUpdate(...[em, { mappedData }]: Parameters<ReplicaEntity['cqrsUpdate']>): Promise<void> {
    await setTimeout(THROTTLE_MS);
    em.assign(this as object, mappedData);
  }
}
throttledSchema.setClass(ThrottledProductCopy);

const plainSchema = defineEntity({
  name: 'PlainProductCopy',
  tableName: 'product_copies',
  properties: {
    ...copyProperties(),
    cqrsRevision: p.integer().name('cqrs_revision').default(0),
    cqrsUpdated: p.datetime().name('cqrs_updated').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
  },
});
/** The same table for a service without the plugin. */
export class PlainProductCopy extends plainSchema.class {}
plainSchema.setClass(PlainProductCopy);
