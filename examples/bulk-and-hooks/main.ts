import { raw } from '@mikro-orm/core';
import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { type EntityManager, MikroORM } from '@mikro-orm/pglite';
import {
  type CreateContext,
  type UpdateContext,
  Cqrs,
  type FieldsOf,
  MasterEntity,
  MemoryBroker,
  MemoryTransport,
  ReplicaEntity,
} from 'mikro-orm-cqrs';

@Entity()
class Article extends MasterEntity {
  static override CQRS_ID = 'article';
  static override CQRS_TRACKED_FIELDS = ['price'] as const satisfies FieldsOf<Article>;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'decimal', precision: 10, scale: 2 })
  price!: string;

  @Property({ type: 'boolean' })
  published!: boolean;

  /** Drafts stay at home; an article that is withdrawn disappears from the shop. */
  override isSyncInstance(): boolean {
    return this.published;
  }

  override getCqrsMeta() {
    return { by: 'the editor' };
  }
}

@Entity()
class PriceChange {
  @PrimaryKey({ type: 'integer' })
  id!: number;

  @Property({ type: 'integer' })
  article!: number;

  @Property({ type: 'string' })
  text!: string;
}

@Entity()
class ArticleRef extends ReplicaEntity {
  static override CQRS_ID = 'article';
  static override CQRS_META = true;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'decimal', precision: 10, scale: 2 })
  price!: string;

  @Property({ type: 'boolean' })
  published!: boolean;

  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    const { id, price } = context.mappedData;
    em.create(PriceChange, {
      article: Number(id),
      text: `new at ${String(price)}, by ${JSON.stringify(context.meta)}`,
    });
    return super.cqrsCreate(em as never, context);
  }

  override async cqrsUpdate(em: EntityManager, context: UpdateContext): Promise<void> {
    const before = context.previousData?.['price'];
    if (before)
      em.create(PriceChange, { article: this.id, text: `${String(before)} → ${String(context.mappedData['price'])}` });
    return super.cqrsUpdate(em as never, context);
  }
}

const broker = new MemoryBroker();
const home = new Cqrs({ transport: new MemoryTransport(broker) });
const away = new Cqrs({ transport: new MemoryTransport(broker), queue: 'shop' });
const editors = await MikroORM.init({ entities: [Article], extensions: [home], dbName: 'memory://' });
const shop = await MikroORM.init({ entities: [ArticleRef, PriceChange], extensions: [away], dbName: 'memory://' });
await editors.schema.create();
await shop.schema.create();
const consumer = away.createConsumer();
await consumer.start();
await home.start();

let announced = 0;
let ended = 0;
home.events.on('cqrs.master.announced', ({ count }) => (announced += count));
away.events.on('cqrs.inbox.applied', () => ended++);
async function settled(): Promise<void> {
  while (ended < announced) await away.events.next('cqrs.inbox.batch-applied');
}

const articles = Article.cqrs(editors.em.fork());
const created = await articles.bulkCreate([
  { id: 1, price: '10.00', published: true },
  { id: 2, price: '20.00', published: true },
  { id: 3, price: '30.00', published: false },
]);
await settled();
console.log(`created ${created.count} rows, announced ${announced} of them: one is a draft`);

const changed = await articles.bulkUpdate({ price: { $gte: '20' } }, { price: raw('price * 0.9') });
await settled();
console.log(`changed ${changed.count} rows`);

await articles.bulkUpdate({ id: 2 }, { published: false });
await settled();

for (const { article, text } of await shop.em.fork().find(PriceChange, {}, { orderBy: { id: 'asc' } })) {
  console.log(`article ${article}: ${text}`);
}
const left = await shop.em.fork().find(ArticleRef, {});
console.log(`in the shop: ${left.map(({ id, price }) => `article ${id} at ${price}`).join(', ')}`);

await consumer.stop();
await home.stop();
await away.stop();
await editors.close();
await shop.close();
