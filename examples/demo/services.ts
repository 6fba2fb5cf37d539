import { randomBytes } from 'node:crypto';
import type { MikroORM as AnyORM } from '@mikro-orm/core';
import { MikroORM as PGliteORM } from '@mikro-orm/pglite';
import { MikroORM as PostgresORM } from '@mikro-orm/postgresql';
import { Cqrs, MemoryBroker, MemoryTransport, type Transport } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { Account, AccountRef, Payment, PaymentRef } from './entities.ts';

/** One service: its database, its replication, and a way to make everything go away again. */
export interface DemoService {
  readonly orm: AnyORM;
  readonly cqrs: Cqrs;
  close(): Promise<void>;
}

/** Where the demo runs: inside this process, or on real servers. */
export interface Stage {
  readonly title: string;
  readonly exchange: string;
  newTransport(): Transport;
  openOrm(entities: unknown[], cqrs: Cqrs): Promise<{ orm: AnyORM; drop: () => Promise<void> }>;
}

/** PostgreSQL in WebAssembly and a broker in memory: nothing to install. */
export function embeddedStage(): Stage {
  const broker = new MemoryBroker();
  return {
    title: 'two embedded PostgreSQL databases, a broker in memory',
    exchange: 'cqrs',
    newTransport: () => new MemoryTransport(broker),
    async openOrm(entities, cqrs) {
      const orm = await PGliteORM.init({ entities: entities as never, extensions: [cqrs], dbName: 'memory://' });
      return { orm: orm as unknown as AnyORM, drop: async () => {} };
    },
  };
}

/** Two new databases on a real PostgreSQL, and an exchange of its own on a real RabbitMQ. */
export function serverStage(databaseUrl: string, amqpUrl: string): Stage {
  const exchange = `cqrs_demo_${randomBytes(4).toString('hex')}`;
  return {
    title: 'two PostgreSQL databases and RabbitMQ',
    exchange,
    newTransport: () => new RabbitMQTransport({ url: amqpUrl }),
    async openOrm(entities, cqrs) {
      const name = `cqrs_demo_${randomBytes(4).toString('hex')}`;
      await asAdmin(databaseUrl, `create database ${name}`);
      const url = new URL(databaseUrl);
      url.pathname = `/${name}`;
      const orm = await PostgresORM.init({ entities: entities as never, extensions: [cqrs], clientUrl: url.href });
      return { orm: orm as unknown as AnyORM, drop: () => asAdmin(databaseUrl, `drop database ${name} with (force)`) };
    },
  };
}

async function asAdmin(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(sql);
  await client.end();
}

export function openBank(stage: Stage): Promise<DemoService> {
  return open(stage, [Account, Payment], {
    relay: { pollIntervalMs: 100, sentRetentionSeconds: 3_600 },
    admin: { name: 'bank', environment: 'demo', queues: [`${stage.exchange}_shop`] },
  });
}

export function openShop(stage: Stage): Promise<DemoService> {
  return open(stage, [AccountRef, PaymentRef], {
    queue: `${stage.exchange}_shop`,
    replica: { maxRetries: 2, retryDelaySeconds: 0.4 },
    admin: { name: 'shop', environment: 'demo' },
  });
}

async function open(stage: Stage, entities: unknown[], settings: object): Promise<DemoService> {
  const cqrs = new Cqrs({ transport: stage.newTransport(), exchange: stage.exchange, ...settings });
  const { orm, drop } = await stage.openOrm(entities, cqrs);
  await orm.schema.create();
  await cqrs.start();
  return {
    orm,
    cqrs,
    async close() {
      await cqrs.stop();
      await orm.close();
      await drop();
    },
  };
}
