import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from 'mikro-orm-cqrs';

/**
 * The row of every benchmark: eight columns (key, text, integer, decimal, time, boolean, revision, updated), which make a
 * body of about 400 bytes.
 */
const properties = () => ({
  id: p.integer().primary(),
  name: p.string().length(60_000),
  quantity: p.integer(),
  price: p.decimal('string').precision(12).scale(2),
  createdAt: p.datetime().columnType('timestamptz(6)'),
  active: p.boolean(),
});

const masterSchema = defineEntity({
  name: 'Product',
  tableName: 'products',
  extends: MasterEntity,
  properties: properties(),
});
/** With the plugin. */
export class Product extends masterClass(masterSchema) {
  static override CQRS_ID = 'product';
}
masterSchema.setClass(Product);

const triggeredSchema = defineEntity({
  name: 'TriggeredProduct',
  tableName: 'products',
  extends: MasterEntity,
  properties: properties(),
});
/** With the plugin, captured by triggers. */
export class TriggeredProduct extends masterClass(triggeredSchema) {
  static override CQRS_ID = 'product';
  static override CQRS_CAPTURE = 'trigger' as const;
}
triggeredSchema.setClass(TriggeredProduct);

const plainSchema = defineEntity({
  name: 'PlainProduct',
  tableName: 'products',
  properties: {
    ...properties(),
    cqrsRevision: p.integer().name('cqrs_revision').default(0),
    cqrsUpdated: p.datetime().name('cqrs_updated').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
  },
});
/** The same row without the plugin. */
export class PlainProduct extends plainSchema.class {}
plainSchema.setClass(PlainProduct);

export interface ProductData {
  name: string;
  quantity: number;
  price: string;
  createdAt: Date;
  active: boolean;
}

/** Text that brings the body to its 400 bytes. */
export const NAME =
  'A product of the catalogue, with a name as long as such names are in real life: 64 characters more';

export function productData(index: number): ProductData {
  return {
    name: `${NAME} ${index}`,
    quantity: index,
    price: `${index % 1000}.50`,
    createdAt: new Date(1_700_000_000_000 + index),
    active: index % 2 === 0,
  };
}
