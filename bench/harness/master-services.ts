import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { createDatabase } from '../../test/support/database.ts';
import { PlainProduct, Product } from '../products.ts';

export interface Writer extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly entity: EntityClass<Product | PlainProduct>;
  readonly url: string;
  /** Empties the tables, so that every round begins alike. */
  clear(): Promise<void>;
}

/** A service that writes products through MikroORM, with the plugin or without; no relay runs. */
export async function openWriter(kind: 'ours' | 'plain', connections = 8): Promise<Writer> {
  const database = await createDatabase();
  const entity = kind === 'ours' ? Product : PlainProduct;
  const orm = await MikroORM.init({
    clientUrl: database.url,
    entities: [entity],
    extensions: kind === 'ours' ? [new Cqrs({ transport: 'MemoryTransport' })] : [],
    pool: { min: connections, max: connections },
  });
  await orm.schema.create();
  const tables = kind === 'ours' ? 'products, cqrs_outbox' : 'products';
  return {
    orm,
    url: database.url,
    entity: entity as EntityClass<Product | PlainProduct>,
    clear: async () => void (await orm.em.getConnection().execute(`truncate ${tables} restart identity`)),
    async [Symbol.asyncDispose]() {
      await orm.close();
      await database.drop();
    },
  };
}
