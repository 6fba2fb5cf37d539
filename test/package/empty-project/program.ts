import { setTimeout as pause } from 'node:timers/promises';
import { defineEntity, p } from '@mikro-orm/core';
import { MikroORM } from '@mikro-orm/pglite';
import { Cqrs, master, MasterEntity, MemoryBroker, MemoryTransport, replica, ReplicaEntity } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import * as testing from 'mikro-orm-cqrs/testing';

// What somebody writes who has installed the package and nothing else: one row from a master to its replica.

const properties = { id: p.integer().primary(), name: p.string() };
const Account = master(defineEntity({ name: 'Account', extends: MasterEntity, properties }), { id: 'account' });
const AccountRef = replica(defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties }), { id: 'account' });

const broker = new MemoryBroker();
const bank = new Cqrs({ transport: new MemoryTransport(broker) });
const shop = new Cqrs({ transport: new MemoryTransport(broker), queue: 'shop' });
const masters = await MikroORM.init({ dbName: 'bank', entities: [Account], extensions: [bank] });
const replicas = await MikroORM.init({ dbName: 'shop', entities: [AccountRef], extensions: [shop] });
await masters.schema.create();
await replicas.schema.create();
await bank.start();
await shop.start();
const consumer = shop.createConsumer();
await consumer.start();

const em = masters.em.fork();
em.create(Account, { id: 1, name: 'Ada' });
await em.flush();

let name: string | undefined;
for (const end = Date.now() + 20_000; name === undefined && Date.now() < end; await pause(20)) {
  name = (await replicas.em.fork().findOne(AccountRef, { id: 1 }))?.name;
}
await consumer.stop();
await shop.stop();
await bank.stop();
await replicas.close();
await masters.close();

const isComplete = typeof RabbitMQTransport === 'function' && Object.keys(testing).length > 0;
console.log(isComplete && name === 'Ada' ? 'the replica has the row' : `the replica has ${name}`);
