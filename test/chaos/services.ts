import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs, masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/transport/rabbitmq/index.js';

/** Where one run of the campaign takes place; handed to its processes in the environment. */
export interface Scene {
  readonly masterUrl: string;
  readonly replicaUrl: string;
  readonly amqpUrl: string;
  readonly exchange: string;
  readonly seed: number;
}

export const queueOf = (scene: Scene): string => `${scene.exchange}_replica`;

export function sceneFromEnvironment(): Scene {
  return JSON.parse(process.env['CHAOS_SCENE']!) as Scene;
}

const RowSchema = defineEntity({
  name: 'Row',
  tableName: 'chaos_row',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), value: p.integer(), text: p.string().nullable() },
});
export class Row extends masterClass(RowSchema) {
  static override CQRS_ID = 'row';
}
RowSchema.setClass(Row);

const RowRefSchema = defineEntity({
  name: 'RowRef',
  tableName: 'chaos_row',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), value: p.integer(), text: p.string().nullable() },
});
export class RowRef extends replicaClass(RowRefSchema) {
  static override CQRS_ID = 'row';
}
RowRefSchema.setClass(RowRef);

export async function openMaster(scene: Scene): Promise<{ orm: MikroORM; cqrs: Cqrs }> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: scene.amqpUrl }),
    exchange: scene.exchange,
    relay: { enabled: false, pollIntervalMs: 50, batchSize: 50 },
  });
  return { cqrs, orm: await MikroORM.init({ clientUrl: scene.masterUrl, entities: [Row], extensions: [cqrs] }) };
}

export async function openReplica(scene: Scene): Promise<{ orm: MikroORM; cqrs: Cqrs }> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: scene.amqpUrl }),
    exchange: scene.exchange,
    queue: queueOf(scene),
    replica: { batchSize: 20, retryDelaySeconds: 0.2 },
  });
  return { cqrs, orm: await MikroORM.init({ clientUrl: scene.replicaUrl, entities: [RowRef], extensions: [cqrs] }) };
}
