import { expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import {
  ConfigurationError,
  Cqrs,
  InvalidPayloadError,
  master,
  MasterEntity,
  MemoryBroker,
  MemoryTransport,
  replica,
  ReplicaEntity,
  SignalType,
  TransportPayload,
  UnknownCqrsIdError,
  Events,
} from '../../src/index.js';
import { KombuTransport, RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';

test('SignalType.SAVE/DELETE/SYNC → SignalType, const object and type', () => {
  const all: SignalType[] = [SignalType.SAVE, SignalType.DELETE, SignalType.SYNC];
  expect(all).toEqual(['SAVE', 'DELETE', 'SYNC']);
});

const init = {
  signalType: SignalType.SAVE,
  cqrsId: 'account',
  instanceData: { id: 1, name: 'ada', cqrs_revision: 3, cqrs_updated: '2026-11-21 10:00:00.123456+00:00' },
  instancePk: 1,
  queue: 'reports',
  previousData: { name: 'eve' },
  correlationId: 'r-1',
  expires: new Date('2026-11-22T10:00:00Z'),
  retries: 2,
  meta: { by: 'eve' },
} as const;
const wire = {
  signal_type: 'SAVE',
  cqrs_id: 'account',
  instance_data: init.instanceData,
  previous_data: { name: 'eve' },
  instance_pk: 1,
  correlation_id: 'r-1',
  retries: 2,
  expires: '2026-11-22T10:00:00+00:00',
  meta: { by: 'eve' },
};

test('TransportPayload(…) → new TransportPayload({ … }), ten fields in camelCase', () => {
  const payload = new TransportPayload(init);
  expect(payload).toMatchObject(init);
  expect(new TransportPayload({ signalType: 'SYNC', cqrsId: 'a', instanceData: {} })).toMatchObject({
    instancePk: null,
    queue: null,
    previousData: null,
    correlationId: null,
    expires: null,
    retries: 0,
    meta: {},
  });
});

test('TransportPayload.to_dict → toDict()', () => {
  expect(new TransportPayload(init).toDict()).toEqual(wire);
});

test('TransportPayload.from_message → fromMessage(body)', () => {
  const { queue: _, ...travelling } = init;
  expect(TransportPayload.fromMessage(JSON.stringify(wire))).toMatchObject({ ...travelling, queue: null });
  expect(() => TransportPayload.fromMessage('{')).toThrow(InvalidPayloadError);
});

test('TransportPayload.is_expired → isExpired(now?)', () => {
  const payload = new TransportPayload(init);
  expect(payload.isExpired(new Date('2026-11-22T09:59:59Z'))).toBe(false);
  expect(payload.isExpired(new Date('2026-11-22T10:00:00Z'))).toBe(true);
  expect(new TransportPayload({ ...init, expires: null }).isExpired()).toBe(false);
});

test('MasterRegistry, ReplicaRegistry: register_model, get_model_by_cqrs_id → cqrs.masters, cqrs.replicas', async () => {
  const properties = { id: p.integer().primary() };
  const Account = master(defineEntity({ name: 'Account', extends: MasterEntity, properties }), { id: 'account' });
  const Bill = replica(defineEntity({ name: 'BillRef', extends: ReplicaEntity, properties }), { id: 'bill' });
  const cqrs = new Cqrs({ transport: 'MemoryTransport' });
  const orm = new MikroORM({ dbName: 'unused', entities: [Account, Bill], extensions: [cqrs] });
  expect(cqrs.masters.getModelByCqrsId('account')).toBe(Account.class);
  expect(cqrs.replicas.getModelByCqrsId('bill')).toBe(Bill.class);
  expect(cqrs.masters.getModelByCqrsId('bill')).toBeUndefined();
  expect([[...cqrs.masters].length, cqrs.replicas.ids]).toEqual([1, ['bill']]);
  expect(() => cqrs.replicas.get('x')).toThrow(UnknownCqrsIdError);
  await orm.close();
});

test('BaseTransport.produce, consume, clean_connection → Transport: publish, consume, close', async () => {
  const transport = new MemoryTransport(new MemoryBroker());
  await transport.connect({ events: new Events(), exchange: 'cqrs', publishTimeoutMs: 1_000 });
  const body = new TransportPayload(init).toMessage();
  const arrived = Promise.withResolvers<string>();
  await transport.consume(
    {
      queue: 'replica',
      deadLetterQueue: 'dead_letter_replica',
      unreadableQueue: 'unreadable_replica',
      cqrsIds: ['account'],
      prefetch: 1,
      deadLetterTtlMs: null,
    },
    (delivery) => void delivery.ack().then(() => arrived.resolve(new TextDecoder().decode(delivery.body))),
  );
  const route = { cqrsId: 'account', queue: null };
  expect(
    await transport.publish([
      { route, body },
      { route: { ...route, cqrsId: 'nobody' }, body },
    ]),
  ).toEqual(['confirmed', 'unroutable']);
  expect(await arrived.promise).toBe(body);
  await transport.close();
});

test('a transport is given as an object, by class, or by name', () => {
  for (const transport of [new MemoryTransport(), MemoryTransport, 'MemoryTransport'] as const) {
    expect(new Cqrs({ transport })).toBeInstanceOf(Cqrs);
  }
  expect(() => new Cqrs({} as never)).toThrow(ConfigurationError);
});

test('RabbitMQTransport, KombuTransport → the same names', () => {
  const url = 'amqp://user:secret@broker.example/shop';
  expect(new KombuTransport({ url })).toBeInstanceOf(RabbitMQTransport);
  expect(new Cqrs({ transport: 'KombuTransport', transportOptions: { url } })).toBeInstanceOf(Cqrs);
  expect(new Cqrs({ transport: RabbitMQTransport, transportOptions: { url } })).toBeInstanceOf(Cqrs);
});

test("settings CQRS = {…} → settings of each Cqrs, with django-cqrs's meaning and defaults", () => {
  const { settings } = new Cqrs({ transport: 'MemoryTransport', queue: 'replica' });
  expect(settings).toMatchObject({
    queue: 'replica',
    exchange: 'cqrs',
    deadLetterQueue: null,
    master: { messageTtlSeconds: 86_400, correlationFunction: null, metaFunction: null },
    replica: { maxRetries: 30, retryDelaySeconds: 2, deadLetterTtlSeconds: 864_000 },
  });
  expect(() => Object.assign(settings.master, { messageTtlSeconds: 1 })).toThrow(TypeError);
  expect(
    new Cqrs({ transport: 'MemoryTransport', master: { messageTtlSeconds: 5 } }).settings.master.messageTtlSeconds,
  ).toBe(5);
});
