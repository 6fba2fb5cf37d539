import { defineEntity, type EntityManager, MikroORM, p } from '@mikro-orm/postgresql';
import {
  Cqrs,
  type CreateContext,
  type DeleteContext,
  masterClass,
  MasterEntity,
  replicaClass,
  ReplicaEntity,
} from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';

/** Where a campaign takes place; handed to its processes in the environment. */
export interface Scene {
  readonly masterUrl: string;
  readonly replicaUrl: string;
  readonly amqpUrl: string;
  readonly exchange: string;
  /** How long a query may take, the wait for another worker's keys included. Default 2 seconds. */
  readonly patienceMs?: number;
  /** Settings that differ from those below. */
  readonly relay?: object;
  readonly replica?: object;
  readonly health?: object;
}

export interface Service {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
}

export const RETRY_DELAY_MS = 100;
export const queueOf = (scene: Scene): string => `${scene.exchange}_replica`;
export const queuesOf = (scene: Scene): string[] => {
  const queue = queueOf(scene);
  return [queue, `dead_letter_${queue}`, `unreadable_${queue}`, `${queue}.delay.${RETRY_DELAY_MS}`];
};

const columns = { id: p.integer().primary().autoincrement(false), value: p.integer(), text: p.string() };

/** Copied set by set, in one statement a batch. */
const PlainSchema = defineEntity({
  name: 'Plain',
  tableName: 'fault_plain',
  extends: MasterEntity,
  properties: columns,
});
export class Plain extends masterClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(Plain);

/** Copied through user code, message by message. */
const WatchedSchema = defineEntity({
  name: 'Watched',
  tableName: 'fault_watched',
  extends: MasterEntity,
  properties: columns,
});
export class Watched extends masterClass(WatchedSchema) {
  static override CQRS_ID = 'watched';
}
WatchedSchema.setClass(Watched);

const PlainRefSchema = defineEntity({
  name: 'PlainRef',
  tableName: 'fault_plain',
  extends: ReplicaEntity,
  properties: columns,
});
class PlainRef extends replicaClass(PlainRefSchema) {
  static override CQRS_ID = 'plain';
}
PlainRefSchema.setClass(PlainRef);

/**
 * What hooks did, never changed or removed: the same version of a key twice is an effect that happened twice, unless it
 * came of a SYNC, which repeats a version.
 */
const Effect = defineEntity({
  name: 'Effect',
  tableName: 'fault_effect',
  properties: { id: p.integer().primary(), key: p.integer(), action: p.string(), version: p.string() },
});

const WatchedRefSchema = defineEntity({
  name: 'WatchedRef',
  tableName: 'fault_watched',
  extends: ReplicaEntity,
  properties: columns,
});
class WatchedRef extends replicaClass(WatchedRefSchema) {
  static override CQRS_ID = 'watched';

  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    await log(em, 'create', context);
    return super.cqrsCreate(em, context);
  }

  override async cqrsUpdate(em: EntityManager, context: CreateContext): Promise<void> {
    await log(em, 'update', context);
    await super.cqrsUpdate(em, context);
  }

  static override async cqrsDelete(em: EntityManager, context: DeleteContext): Promise<void> {
    const { id, cqrs_revision, cqrs_updated } = context.masterData;
    await em.insert(Effect, { key: Number(id), action: 'delete', version: `${cqrs_revision} ${cqrs_updated}` });
    await super.cqrsDelete(em, context);
  }
}
WatchedRefSchema.setClass(WatchedRef);

/**
 * Without a limit of its own, a query whose answer the network swallows waits for ever. After the limit the pool takes its
 * connection for a sound one; only the end of its lifetime removes it. The last limit is the other end's: it gives up a
 * transaction whose client is never heard of again, with all its locks.
 */
const driverOptions = ({ patienceMs = 2_000 }: Scene): object => ({
  query_timeout: patienceMs,
  connectionTimeoutMillis: patienceMs,
  maxLifetimeSeconds: (2 * patienceMs) / 1_000,
  idle_in_transaction_session_timeout: 1.5 * patienceMs,
});

const refusedOnce = new Set<unknown>();

async function log(em: EntityManager, action: string, { mappedData, sync }: CreateContext): Promise<void> {
  const { id, text, cqrsIncarnation, cqrsRevision } = mappedData;
  const version = `${cqrsIncarnation}.${cqrsRevision}`;
  await em.insert(Effect, { key: Number(id), action: sync ? 'sync' : action, version });
  if (text === 'poison') throw new Error('poison');
  if (text === 'flaky' && !refusedOnce.has(id)) {
    refusedOnce.add(id);
    throw new Error('not yet');
  }
}

export async function openMaster(scene: Scene): Promise<Service> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: scene.amqpUrl, heartbeatSeconds: 2, connectTimeoutMs: 2_000 }),
    exchange: scene.exchange,
    health: { ...scene.health },
    activity: { intervalSeconds: 1 },
    // Small batches, so that a case meets each fail point more than once.
    relay: { pollIntervalMs: 50, batchSize: 4, publishTimeoutMs: 2_000, ...scene.relay },
  });
  return {
    cqrs,
    orm: await MikroORM.init({
      clientUrl: scene.masterUrl,
      entities: [Plain, Watched],
      extensions: [cqrs],
      driverOptions: driverOptions(scene),
    }),
  };
}

export async function openReplica(scene: Scene): Promise<Service> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({
      url: scene.amqpUrl,
      heartbeatSeconds: 2,
      connectTimeoutMs: 2_000,
      verifySeconds: 2,
    }),
    exchange: scene.exchange,
    health: { ...scene.health },
    activity: { intervalSeconds: 1 },
    queue: queueOf(scene),
    replica: { batchSize: 4, prefetch: 20, maxRetries: 2, retryDelaySeconds: RETRY_DELAY_MS / 1_000, ...scene.replica },
  });
  const entities = [PlainRef, WatchedRef, Effect];
  return {
    cqrs,
    orm: await MikroORM.init({
      clientUrl: scene.replicaUrl,
      entities,
      extensions: [cqrs],
      driverOptions: driverOptions(scene),
    }),
  };
}
