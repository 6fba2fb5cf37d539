import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { MikroORM } from '@mikro-orm/pglite';
import { Cqrs, MasterEntity, MemoryBroker, MemoryTransport, ReplicaEntity } from 'mikro-orm-cqrs';

@Entity()
class Account extends MasterEntity {
  static override CQRS_ID = 'account';

  @PrimaryKey({ type: 'integer' })
  id!: number;

  @Property({ type: 'string' })
  name!: string;
}

@Entity()
class AccountRef extends ReplicaEntity {
  static override CQRS_ID = 'account';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  name!: string;
}

// Two services. With RabbitMQ the broker is a server, and they are two processes; nothing else changes.
const broker = new MemoryBroker();
const bankCqrs = new Cqrs({ transport: new MemoryTransport(broker) });
const shopCqrs = new Cqrs({ transport: new MemoryTransport(broker), queue: 'shop' });
const bank = await MikroORM.init({ entities: [Account], extensions: [bankCqrs], dbName: 'memory://' });
const shop = await MikroORM.init({ entities: [AccountRef], extensions: [shopCqrs], dbName: 'memory://' });
await bank.schema.create();
await shop.schema.create();

const consumer = shopCqrs.createConsumer();
await consumer.start(); // first the replica, so that its queue exists
await bankCqrs.start();

const applied = shopCqrs.events.next('cqrs.inbox.applied');
const em = bank.em.fork();
em.create(Account, { name: 'Ada' });
await em.flush();
await applied;

console.log(
  'bank:',
  await bank.em
    .fork()
    .find(Account, {}, { fields: ['id', 'name', 'cqrsRevision'] })
    .then(plain),
);
console.log(
  'shop:',
  await shop.em
    .fork()
    .find(AccountRef, {}, { fields: ['id', 'name', 'cqrsRevision'] })
    .then(plain),
);

await consumer.stop();
await bankCqrs.stop();
await shopCqrs.stop();
await bank.close();
await shop.close();

function plain(rows: { id: number; name: string; cqrsRevision: number }[]): object[] {
  return rows.map(({ id, name, cqrsRevision }) => ({ id, name, cqrsRevision }));
}
