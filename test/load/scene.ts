import { defineEntity, type EntityManager, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs, type CreateContext, masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';

/** Where a load is put; handed to the processes in their environment. */
export interface Scene {
  readonly masterUrl: string;
  readonly replicaUrl: string;
  /** For the relay, by way of a proxy that can be cut. */
  readonly relayAmqpUrl: string;
  readonly amqpUrl: string;
  readonly exchange: string;
}

export const PREFETCH = 2_000;
export const queueOf = ({ exchange }: Pick<Scene, 'exchange'>): string => `${exchange}_replica`;
/** The parking places that the retries of these loads use. */
export const queuesOf = (scene: Pick<Scene, 'exchange'>): string[] => {
  const queue = queueOf(scene);
  return [queue, `dead_letter_${queue}`, `unreadable_${queue}`, `${queue}.delay.1000`];
};

const columns = { id: p.integer().primary().autoincrement(false), value: p.integer(), text: p.string() };

const PlainSchema = defineEntity({ name: 'Plain', tableName: 'plain', extends: MasterEntity, properties: columns });
export class Plain extends masterClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(Plain);

const PlainRefSchema = defineEntity({
  name: 'PlainRef',
  tableName: 'plain',
  extends: ReplicaEntity,
  properties: columns,
});
class PlainRef extends replicaClass(PlainRefSchema) {
  static override CQRS_ID = 'plain';
}
PlainRefSchema.setClass(PlainRef);

/** Every one of its messages fails. */
const PoisonRefSchema = defineEntity({
  name: 'PoisonRef',
  tableName: 'poison',
  extends: ReplicaEntity,
  properties: columns,
});
class PoisonRef extends replicaClass(PoisonRefSchema) {
  static override CQRS_ID = 'poison';
  static override async cqrsCreate(_em: EntityManager, _context: CreateContext): Promise<void | object> {
    throw new Error('poison');
  }
}
PoisonRefSchema.setClass(PoisonRef);

export interface Service {
  readonly cqrs: Cqrs;
  readonly orm: MikroORM;
}

export async function openMaster({ masterUrl, relayAmqpUrl, exchange }: Scene): Promise<Service> {
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: relayAmqpUrl }), exchange });
  return { cqrs, orm: await MikroORM.init({ clientUrl: masterUrl, entities: [Plain], extensions: [cqrs] }) };
}

export async function openReplica(scene: Scene): Promise<Service> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: scene.amqpUrl }),
    exchange: scene.exchange,
    queue: queueOf(scene),
    replica: { prefetch: PREFETCH, maxRetries: 3, retryDelaySeconds: 1 },
  });
  const orm = await MikroORM.init({ clientUrl: scene.replicaUrl, entities: [PlainRef, PoisonRef], extensions: [cqrs] });
  return { cqrs, orm };
}
