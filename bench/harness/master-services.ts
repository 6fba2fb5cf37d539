import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { createDatabase } from '../../test/support/database.ts';
import { PlainProduct, Product, TriggeredProduct } from '../products.ts';

const ENTITIES = { ours: Product, triggers: TriggeredProduct, plain: PlainProduct };

export interface Writer extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly entity: EntityClass<Product | TriggeredProduct | PlainProduct>;
  readonly url: string;
  /** Empties the tables, so that every round begins alike. */
  clear(): Promise<void>;
}

/** A service that writes products through MikroORM, with the plugin, in either way of capture, or without; no relay runs. */
export async function openWriter(kind: keyof typeof ENTITIES, connections = 8): Promise<Writer> {
  const database = await createDatabase();
  const entity = ENTITIES[kind];
  const orm = await MikroORM.init({
    clientUrl: database.url,
    entities: [entity],
    extensions: kind === 'plain' ? [] : [new Cqrs({ transport: 'MemoryTransport' })],
    pool: { min: connections, max: connections },
  });
  await orm.schema.create();
  const tables = { ours: 'products, cqrs_outbox', triggers: 'products, cqrs_captured', plain: 'products' }[kind];
  // What is emptied here is no change to be captured.
  const clear = `set local cqrs.muted = '1'; truncate ${tables} restart identity`;
  return {
    orm,
    url: database.url,
    entity: entity as EntityClass<Product | TriggeredProduct | PlainProduct>,
    clear: async () => void (await orm.em.getConnection().execute(clear)),
    async [Symbol.asyncDispose]() {
      await orm.close();
      await database.drop();
    },
  };
}
