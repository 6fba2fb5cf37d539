import { expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl } from '../support/broker.js';
import { createDatabase } from '../support/database.js';
import { twoServices } from '../support/two-services.js';

const properties = { id: p.integer().primary().autoincrement(false), v: p.string() };
const declared = () => master(defineEntity({ name: 'Account', extends: MasterEntity, properties }), { id: 'account' });
const Account = declared();
const AccountRef = replica(defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties }), { id: 'account' });

test('two services under one CQRS_ID by mistake are found, and named', async () => {
  await using services = await twoServices({ masters: [Account] as never, replicas: [AccountRef] as never });
  const { exchange, heard } = services;
  const changes = (): unknown[] =>
    heard.filter(({ name }) => name === 'cqrs.inbox.origin-changed').map(({ fields }) => fields);
  const Other = declared();
  const database = await createDatabase();
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange,
    relay: { pollIntervalMs: 100 },
    activity: { enabled: false },
  });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Other], extensions: [cqrs] });
  try {
    await orm.schema.create();
    await cqrs.start();
    const first = services.master.orm.em;
    await first.fork().insert(Account, { id: 1, v: 'one' });
    await services.ended(1);
    await first.fork().nativeUpdate(Account, { id: 1 }, { v: 'still one' });
    await services.ended(2);
    expect(changes()).toEqual([]);
    await orm.em.fork().insert(Other, { id: 2, v: 'two' });
    await services.ended(3);
    expect(changes()).toEqual([{ queue: services.queue, cqrsId: 'account', changes: 1 }]);
    await first.fork().nativeUpdate(Account, { id: 1 }, { v: 'one again' });
    await services.ended(4);
    expect(changes()).toEqual([
      { queue: services.queue, cqrsId: 'account', changes: 1 },
      { queue: services.queue, cqrsId: 'account', changes: 2 },
    ]);
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
});
