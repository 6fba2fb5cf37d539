import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../../src/cqrs.js';
import { capture } from '../../support/capture.js';

/** A service of ours on a database that is there already. */
export interface OurService extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
}

export async function ourService(
  databaseUrl: string,
  entities: EntityClass<object>[],
  options: CqrsOptions,
): Promise<OurService> {
  const cqrs = new Cqrs({ ...options, master: { capture, ...options.master } });
  const orm = await MikroORM.init({ clientUrl: databaseUrl, entities, extensions: [cqrs] });
  return {
    orm,
    cqrs,
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
    },
  };
}
