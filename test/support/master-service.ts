import { type EntityClass, type EntitySchema, MikroORM, type Options } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import { capture } from './capture.js';
import { createDatabase } from './database.js';

/** A message as it waits in the outbox, parsed. */
export interface Waiting {
  readonly signal: string;
  readonly cqrsId: string;
  readonly queue: string | null;
  readonly data: Record<string, unknown>;
  readonly previous: Record<string, unknown> | null;
  readonly meta: unknown;
  readonly correlationId: unknown;
  readonly pk: unknown;
  readonly incarnation: number;
  /** The body's text, for what parsing would round. */
  readonly body: string;
}

export interface MasterService extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  /** Everything in the outbox, and what triggers have captured, oldest first; afterwards it is empty. */
  take(): Promise<Waiting[]>;
  /** The same as texts. */
  takeBodies(): Promise<{ body: string; queue: string | null }[]>;
  sql<T = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<T[]>;
}

/** A service with masters on a database of its own, without a relay: its outbox is read by the test. */
export async function masterService(
  entities: (EntityClass<object> | EntitySchema)[],
  {
    options = {},
    settings = {},
    before = [],
  }: {
    options?: Partial<Options>;
    settings?: Partial<CqrsOptions>;
    /** Run before the schema is made. */
    before?: readonly string[];
  } = {},
): Promise<MasterService> {
  const database = await createDatabase();
  const cqrs = new Cqrs({ transport: 'MemoryTransport', ...settings, master: { capture, ...settings.master } });
  const orm = await MikroORM.init({ ...options, clientUrl: database.url, entities, extensions: [cqrs] }).catch(
    async (error: unknown) => {
      await database.drop();
      throw error;
    },
  );
  for (const text of before) await orm.em.getConnection().execute(text);
  await orm.schema.create();
  const make = cqrs.masterRuntime.createMaker();
  const sql = <T>(text: string, params: readonly unknown[] = []): Promise<T[]> =>
    orm.em.getConnection().execute(text, params as unknown[]);
  const takeBodies = async (): Promise<{ body: string; queue: string | null }[]> => {
    while (await make());
    const rows = await sql<{ body: string; queue: string | null }>('select body, queue from cqrs_outbox order by id');
    await sql('delete from cqrs_outbox');
    return rows;
  };
  return {
    orm,
    cqrs,
    sql,
    takeBodies,
    async take() {
      return (await takeBodies()).map(({ body, queue }): Waiting => {
        const parsed = JSON.parse(body);
        return {
          signal: parsed.signal_type,
          cqrsId: parsed.cqrs_id,
          queue,
          data: parsed.instance_data,
          previous: parsed.previous_data,
          meta: parsed.meta,
          correlationId: parsed.correlation_id,
          pk: parsed.instance_pk,
          incarnation: parsed.cqrs_incarnation,
          body,
        };
      });
    },
    async [Symbol.asyncDispose]() {
      await orm.close();
      await database.drop();
    },
  };
}
