import { defineEntity, type EntityManager, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs, type CreateContext, replicaClass, ReplicaEntity, type Transport } from '../../src/index.js';
import { createDatabase } from '../support/database.ts';

const columns = {
  name: p.text().nullable(),
  amount: p.decimal().columnType('numeric').nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  local: p.datetime().columnType('timestamp(6)').nullable(),
  data: p.json().nullable(),
  tags: p.array().columnType('text[]').nullable(),
  flag: p.boolean().nullable(),
  size: p.double().nullable(),
  bytes: p.blob().nullable(),
};

/** Copied set by set. */
const PlainSchema = defineEntity({
  name: 'Plain',
  tableName: 'plain',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), ...columns },
});
class Plain extends replicaClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(Plain);

/** The same with a text for a key. */
const NoteSchema = defineEntity({
  name: 'Note',
  tableName: 'note',
  extends: ReplicaEntity,
  properties: { id: p.text().primary(), ...columns },
});
class Note extends replicaClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

/** Copied through user code, message by message. */
const HookedSchema = defineEntity({
  name: 'Hooked',
  tableName: 'hooked',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), ...columns },
});
class Hooked extends replicaClass(HookedSchema) {
  static override CQRS_ID = 'hooked';

  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    if (context.mappedData['name'] === 'fail') throw new Error('as asked');
    return super.cqrsCreate(em, context);
  }
}
HookedSchema.setClass(Hooked);

export interface Replica extends AsyncDisposable {
  readonly cqrs: Cqrs;
  readonly orm: MikroORM;
}

/** A service with replicas of every kind of column, on a database of its own. */
export async function openReplica(transport: Transport, exchange: string, queue: string): Promise<Replica> {
  const database = await createDatabase();
  const cqrs = new Cqrs({
    transport,
    exchange,
    queue,
    replica: { maxRetries: 1, retryDelaySeconds: 0.01, batchSize: 100, prefetch: 1_000 },
  });
  const url = new URL(database.url);
  // What a crash of the server would lose is not the question here, and its disk is slow.
  url.searchParams.set('options', '-c synchronous_commit=off');
  const orm = await MikroORM.init({ clientUrl: url.href, entities: [Plain, Note, Hooked], extensions: [cqrs] });
  await orm.schema.create();
  return {
    cqrs,
    orm,
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
      await database.drop();
    },
  };
}
