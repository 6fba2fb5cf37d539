import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { MessageRefusedError } from '../../../src/kernel/errors.js';
import { StatementBatch } from '../../../src/postgres/statement-batch.js';
import { TransportPayload } from '../../../src/wire/payload.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { MemoryBroker, MemoryTransport } from '../../../src/messaging/transport/memory.js';
import type { Delivery, OutgoingMessage, PublishResult } from '../../../src/messaging/transport/transport.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const ItemSchema = defineEntity({
  name: 'Item',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Item extends masterClass(ItemSchema) {
  static override CQRS_ID = 'item';
}
ItemSchema.setClass(Item);

/** A broker that can be away: it then refuses whatever it is given. */
class Flaky extends MemoryTransport {
  away = false;
  /** Loses the first message of the next batch, and only that. */
  loseFirst = false;
  /** Answers for all but the last of the next batch. */
  forgetsLast = false;
  /** Runs before the next batch is stored. */
  beforeNext?: () => Promise<void>;
  override async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
    const before = this.beforeNext;
    this.beforeNext = undefined;
    await before?.();
    if (this.loseFirst) {
      this.loseFirst = false;
      return [{ failed: new Error('lost') }, ...(await super.publish(messages.slice(1)))];
    }
    if (this.forgetsLast) {
      this.forgetsLast = false;
      return (await super.publish(messages)).slice(0, -1);
    }
    if (this.away) return messages.map(() => ({ failed: new Error('the broker is away') }));
    return super.publish(messages);
  }
}

let broker: MemoryBroker;
let transport: Flaky;
let service: MasterService;
beforeEach(async () => {
  broker = new MemoryBroker();
  transport = new Flaky(broker);
  service = await masterService([Item], { settings: { transport, relay: { pollIntervalMs: 50, batchSize: 3 } } });
});
afterEach(async () => {
  await service.cqrs.stop();
  await service[Symbol.asyncDispose]();
});

/** Everything that reaches a replica's queue, as it comes. */
async function subscribe(
  queue = 'replica',
): Promise<{ received: TransportPayload[]; until(count: number): Promise<void> }> {
  const reader = new MemoryTransport(broker);
  await reader.connect({ events: service.cqrs.events, exchange: 'cqrs', publishTimeoutMs: 1_000 });
  const received: TransportPayload[] = [];
  let check = (): void => {};
  await reader.consume(
    {
      queue,
      deadLetterQueue: 'dead',
      unreadableQueue: 'unreadable',
      cqrsIds: ['item'],
      prefetch: 100,
      deadLetterTtlMs: null,
    },
    (delivery: Delivery) => {
      received.push(TransportPayload.fromMessage(delivery.body));
      void delivery.ack();
      check();
    },
  );
  return {
    received,
    until: (count) =>
      new Promise((resolve) => {
        check = () => received.length >= count && resolve();
        check();
      }),
  };
}
const fork = () => service.orm.em.fork();

// claims: long-outage
test('a commit wakes the relay; messages leave in order, with an expiry counted from now', async () => {
  const replica = await subscribe();
  await service.cqrs.start();
  await fork().insert(Item, { id: 1, name: 'a' });
  for (const name of ['b', 'c', 'd', 'e']) await fork().nativeUpdate(Item, { id: 1 }, { name });
  await replica.until(5);
  expect(replica.received.map((payload) => payload.instanceData['name'])).toEqual(['a', 'b', 'c', 'd', 'e']);
  const ttl = replica.received[0]!.expires!.getTime() - Date.now();
  expect(ttl).toBeGreaterThan(86_390_000);
  expect(ttl).toBeLessThanOrEqual(86_400_000);
  await service.cqrs.stop();
  expect(await service.cqrs.outboxState()).toEqual({
    depth: 0,
    exact: true,
    failed: 0,
    oldestAgeMs: null,
    held: 0,
    refusal: null,
  });
});

// claims: at-least-once, commit-latency
test('a broker that is away loses nothing and does not hold up the application', async () => {
  const replica = await subscribe();
  transport.away = true;
  await service.cqrs.start();
  const failed = service.cqrs.events.next('cqrs.relay.failed');
  await fork().insertMany(
    Item,
    Array.from({ length: 10 }, (_, id) => ({ id: id + 1, name: `n${id}` })),
  );
  expect((await failed).error.message).toContain('away');
  expect(await service.cqrs.outboxState()).toMatchObject({ depth: 10 });
  transport.away = false;
  await replica.until(10);
  expect(replica.received.map((payload) => payload.instancePk)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

// claims: row-order, takeover
test('several relays: each message goes once, each row keeps its order', async () => {
  const replica = await subscribe();
  await fork().insertMany(
    Item,
    Array.from({ length: 20 }, (_, id) => ({ id: id + 1, name: '0' })),
  );
  for (const name of ['1', '2', '3']) await fork().nativeUpdate(Item, {}, { name });
  const relays = [service.cqrs.createRelay(), service.cqrs.createRelay(), service.cqrs.createRelay()];
  await Promise.all(relays.map((relay) => relay.start()));
  await replica.until(80);
  await Promise.all(relays.map((relay) => relay.stop()));
  expect(replica.received).toHaveLength(80);
  for (let id = 1; id <= 20; id++) {
    const names = replica.received
      .filter((payload) => payload.instancePk === id)
      .map((payload) => payload.instanceData['name']);
    expect(names).toEqual(['0', '1', '2', '3']);
  }
});

test('a message that fails takes the later ones of its row along: the last word stays last', async () => {
  const replica = await subscribe();
  await fork().insert(Item, { id: 1, name: 'a' });
  await fork().insert(Item, { id: 2, name: 'other' });
  await fork().nativeUpdate(Item, { id: 1 }, { name: 'b' });
  transport.loseFirst = true;
  await service.cqrs.start();
  await replica.until(4);
  expect(replica.received.map((payload) => payload.instanceData['name'])).toEqual(['other', 'b', 'a', 'b']);
});

test('so it does with those that are at the broker already, a batch behind', async () => {
  const replica = await subscribe();
  const fill = (ids: number[]) =>
    fork().insertMany(
      Item,
      ids.map((id) => ({ id, name: 'other' })),
    );
  await fork().insert(Item, { id: 1, name: 'a' });
  await fill([2, 3]);
  await fork().nativeUpdate(Item, { id: 1 }, { name: 'b' });
  await fill([4, 5]);
  transport.loseFirst = true;
  await service.cqrs.start();
  await replica.until(7);
  const got = replica.received.map((payload) => [payload.instancePk, payload.instanceData['name']]);
  expect(got.filter(([id]) => id === 1).map(([, name]) => name)).toEqual(['b', 'a', 'b']);
  expect(got.map(([id]) => id).toSorted()).toEqual([1, 1, 1, 2, 3, 4, 5].toSorted());
});

test('a transport that answers for too few has lost the others', async () => {
  const replica = await subscribe();
  await fork().insertMany(
    Item,
    [1, 2, 3].map((id) => ({ id, name: 'a' })),
  );
  transport.forgetsLast = true;
  const failed = service.cqrs.events.next('cqrs.relay.failed');
  await service.cqrs.start();
  expect((await failed).error.message).toBe('The transport answered 2 times for 3 messages.');
  await replica.until(4);
  expect(replica.received.map((payload) => payload.instancePk)).toEqual([1, 2, 3, 3]);
});

test('a lower id that is committed while a batch is on its way still goes before its successor', async () => {
  const replica = await subscribe();
  await fork().insertMany(
    Item,
    Array.from({ length: 7 }, (_, id) => ({ id: id + 1, name: 'first' })),
  );
  const slow = fork();
  await slow.begin();
  // Takes a low id in the outbox, and is not committed when the relay looks for the first time.
  await slow.getConnection().execute(
    `insert into cqrs_outbox (id, bucket, cqrs_id, signal, key, body)
     values (0, 0, 'item', 'SAVE', '["9"]', '{"signal_type":"SAVE","cqrs_id":"item","instance_data":{"id":9,"name":"low","cqrs_revision":0,"cqrs_updated":"2026-01-01 00:00:00+00:00"}}')`,
    [],
    'run',
    slow.getTransactionContext(),
  );
  transport.beforeNext = async () => {
    await slow.commit();
    await service.sql(
      `insert into cqrs_outbox (bucket, cqrs_id, signal, key, body)
       values (0, 'item', 'SAVE', '["9"]', '{"signal_type":"SAVE","cqrs_id":"item","instance_data":{"id":9,"name":"high","cqrs_revision":1,"cqrs_updated":"2026-01-01 00:00:01+00:00"}}')`,
    );
  };
  await service.cqrs.start();
  await replica.until(9);
  const names = replica.received.map((payload) => payload.instanceData['name']);
  expect(names.indexOf('low')).toBeLessThan(names.indexOf('high'));
});

test('history 14: what nobody is bound for is an event; for a SYNC to one queue it is a failure that is kept and counted', async () => {
  await service.cqrs.start();
  const unroutable = service.cqrs.events.next('cqrs.relay.unroutable');
  await fork().insert(Item, { id: 1, name: 'a' });
  expect(await unroutable).toMatchObject({ cqrsId: 'item', signalType: 'SAVE', queue: null });
  expect(await service.cqrs.sync({ cqrsId: 'item', queue: 'nowhere' })).toEqual({
    synced: 1,
    withdrawn: 0,
    unroutable: 1,
    refused: 0,
    lastKey: ['1'],
  });
  expect(await service.cqrs.outboxState()).toMatchObject({ depth: 0, failed: 0 });
});

test('sync sends what matches, page by page, to all or to one queue', async () => {
  const first = await subscribe('one');
  const second = await subscribe('two');
  await service.cqrs.withoutReplication(() =>
    fork().insertMany(
      Item,
      Array.from({ length: 7 }, (_, id) => ({ id: id + 1, name: id % 2 ? 'odd' : 'even' })),
    ),
  );
  const progress: number[] = [];
  const result = await service.cqrs.sync({
    cqrsId: 'item',
    filter: { name: 'even' },
    queue: 'two',
    pageSize: 2,
    onProgress: ({ synced }) => progress.push(synced),
  });
  expect(result).toEqual({ synced: 4, withdrawn: 0, unroutable: 0, refused: 0, lastKey: ['7'] });
  expect(progress).toEqual([2, 4]);
  await second.until(4);
  expect(second.received.map((payload) => [payload.signalType, payload.instancePk])).toEqual([
    ['SYNC', 1],
    ['SYNC', 3],
    ['SYNC', 5],
    ['SYNC', 7],
  ]);
  await service.cqrs.sync({ cqrsId: 'item' });
  await first.until(7);
  expect(first.received).toHaveLength(7);
  await expect(service.cqrs.sync({ cqrsId: 'nothing' })).rejects.toThrow(
    "Unknown CQRS_ID 'nothing'. Known here: item.",
  );
});

test('history 15: nothing is NOTIFYed inside a transaction: that would forbid two-phase commit', async () => {
  const sent: string[] = [];
  const { query } = pg.Client.prototype;
  // Listens in; every statement goes to the real server.
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    sent.push(String((args[0] as { text?: string }).text ?? args[0]));
    return Reflect.apply(query, this, args);
  } as never;
  try {
    await service.cqrs.start();
    await fork().insert(Item, { id: 1, name: 'a' });
  } finally {
    pg.Client.prototype.query = query;
  }
  expect(sent.some((text) => /insert into "cqrs_outbox"/.test(text))).toBe(true);
  expect(sent.filter((text) => /\bnotify\b|pg_notify|\blisten\b/i.test(text))).toEqual([]);
});

test('a process that only relays saves its round trips, too', async () => {
  const pool = (await service.orm.em.getConnection().getNativeClient()) as {
    connect(): Promise<{ query(text: unknown, ...rest: unknown[]): unknown; release(): void }>;
  };
  const together = Promise.withResolvers<StatementBatch>();
  const alone: unknown[] = [];
  const clients = await Promise.all([pool.connect(), pool.connect()]);
  for (const client of clients) {
    const query = client.query.bind(client);
    client.query = (text, ...rest) => {
      if (text instanceof StatementBatch) together.resolve(text);
      else alone.push(text);
      return query(text, ...rest);
    };
  }
  for (const client of clients) client.release();
  await service.cqrs.start();
  expect((await together.promise).text).toMatch(/^start transaction/);
  expect(alone).not.toContainEqual(
    expect.stringMatching(/^start transaction|pg_try_advisory_xact_lock\(\d+, bucket\)/),
  );
});

// claims: refusal-isolated
test('100,000 refused messages before them hold up nobody, and cost a claim nothing', async () => {
  const replica = await subscribe();
  await service.sql(
    `insert into cqrs_held (id, bucket, cqrs_id, signal, key, body, created_at, state, reason, passing, attempts, retry_at, held_at)
     select -n, n % 64, 'item', 'SAVE', '["' || 1000 + n || '"]', '{}', now() - interval '1 day', 'refused', 'too long', false, 9,
            now() + interval '5 minutes', now() - interval '1 day' from generate_series(1, 100000) as n`,
  );
  await service.cqrs.start();
  const published = service.cqrs.events.next('cqrs.relay.published');
  await fork().insertMany(Item, [
    { id: 1, name: 'a' },
    { id: 2, name: 'b' },
    // Behind one of them.
    { id: 1_007, name: 'held' },
    { id: 3, name: 'c' },
  ]);
  await replica.until(3);
  expect(replica.received.map(({ instancePk }) => instancePk)).toEqual([1, 2, 3]);
  expect((await published).durationMs).toBeLessThan(1_000);
  const state = (await service.cqrs.outboxState())!;
  expect(state).toMatchObject({ held: 100_000, refusal: { cqrsId: 'item', reason: 'too long' } });
  expect(await service.cqrs.refused.list({ outboxIds: ['-7'] })).toMatchObject([{ key: '["1007"]', behind: 1 }]);
  await service.cqrs.stop();
});

describe('an entity whose last queue is gone', () => {
  class Gone extends MemoryTransport {
    gone = false;
    override async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
      return this.gone ? messages.map(() => 'unroutable') : super.publish(messages);
    }
  }
  let gone: Gone;
  const open = async (unroutableWaitSeconds: number): Promise<void> => {
    await service[Symbol.asyncDispose]();
    gone = new Gone(broker);
    const relay = { pollIntervalMs: 20, unroutableWaitSeconds };
    service = await masterService([Item], { settings: { transport: gone, relay } });
  };
  const unroutable: string[] = [];
  const listen = (): void => {
    unroutable.length = 0;
    service.cqrs.events.on('cqrs.relay.unroutable', ({ outboxId }) => unroutable.push(outboxId));
  };

  // claims: unroutable-waits
  test('its changes wait, with word of it, whatever relay carries them, and come in order', async () => {
    await open(300);
    const replica = await subscribe();
    listen();
    await using first = service.cqrs.createRelay();
    await first.start();
    await fork().insert(Item, { id: 1, name: '0' });
    await replica.until(1);
    await first.stop();
    gone.gone = true;
    await using second = service.cqrs.createRelay();
    const refused = service.cqrs.events.next('cqrs.relay.refused');
    await second.start();
    for (const name of ['1', '2', '3']) await fork().nativeUpdate(Item, { id: 1 }, { name });
    expect(await refused).toMatchObject({
      cqrsId: 'item',
      passing: true,
      reason: expect.stringMatching(/no queue is bound/),
    });
    while ((await service.cqrs.outboxState())!.held < 3);
    expect((await service.cqrs.outboxState())!.refusal!.reason).toMatch(/no queue is bound for 'item' any more/);
    gone.gone = false;
    await replica.until(4);
    expect(replica.received.map((one) => one.instanceData['name'])).toEqual(['0', '1', '2', '3']);
    expect(unroutable).toEqual([]);
  });

  // claims: unroutable-waits
  test('when the wait is over they are told and settled, and so are later ones at once', async () => {
    await open(0.5);
    const replica = await subscribe();
    listen();
    await service.cqrs.start();
    await fork().insert(Item, { id: 1, name: '0' });
    await replica.until(1);
    gone.gone = true;
    await fork().nativeUpdate(Item, { id: 1 }, { name: '1' });
    await fork().insert(Item, { id: 2, name: '1' });
    while (unroutable.length < 2) await service.cqrs.outboxState();
    while ((await service.cqrs.outboxState())!.held > 0);
    const next = service.cqrs.events.next('cqrs.relay.unroutable');
    const refusals: unknown[] = [];
    service.cqrs.events.on('cqrs.relay.refused', (fields) => refusals.push(fields));
    await fork().nativeUpdate(Item, { id: 2 }, { name: '2' });
    await next;
    expect(refusals).toEqual([]);
  });
});

describe('a refused message of a row', () => {
  /** Refuses what is about these rows. */
  const refusing = new Set<number>();
  class Picky extends MemoryTransport {
    override async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
      const results: PublishResult[] = [];
      for (const message of messages) {
        const { instancePk } = TransportPayload.fromMessage(Buffer.from(message.body));
        if (refusing.has(Number(instancePk))) results.push({ refused: new MessageRefusedError('no', true) });
        else results.push(...(await super.publish([message])));
      }
      return results;
    }
  }
  beforeEach(async () => {
    refusing.clear();
    await service[Symbol.asyncDispose]();
    const picky = new Picky(broker);
    service = await masterService([Item], {
      settings: { transport: picky, relay: { pollIntervalMs: 20, batchSize: 5 } },
    });
  });

  const held = async (count: number): Promise<void> => {
    for (;;) {
      const state = (await service.cqrs.outboxState())!;
      if (state.depth === 0 && state.held === count) return;
    }
  };

  test.each(['by itself', 'by an operator', 'by another relay'])(
    'is sent %s, then what is behind it, in order, while more comes',
    async (how) => {
      const replica = await subscribe();
      refusing.add(1);
      await using first = service.cqrs.createRelay();
      await using other = service.cqrs.createRelay();
      await first.start();
      await fork().insert(Item, { id: 1, name: '0' });
      await fork().insert(Item, { id: 2, name: 'other' });
      await held(1);
      for (let n = 1; n <= 23; n++) await fork().nativeUpdate(Item, { id: 1 }, { name: String(n) });
      await held(24);
      expect(replica.received.map(({ instancePk }) => instancePk)).toEqual([2]);
      if (how === 'by another relay') {
        await first.stop();
        await other.start();
      }
      refusing.clear();
      if (how === 'by an operator') expect(await service.cqrs.refused.retry()).toBe(1);
      for (let n = 24; n <= 30; n++) await fork().nativeUpdate(Item, { id: 1 }, { name: String(n) });
      await held(0);
      const names = replica.received
        .filter(({ instancePk }) => instancePk === 1)
        .map((one) => one.instanceData['name']);
      expect(names).toEqual(Array.from({ length: 31 }, (_, index) => String(index)));
    },
  );

  test('that was sent by a sync does not keep it waiting, and is told', async () => {
    await subscribe();
    await service.cqrs.withoutReplication(() =>
      fork().insertMany(
        Item,
        [1, 2, 3].map((id) => ({ id, name: 'x' })),
      ),
    );
    refusing.add(2);
    expect(await service.cqrs.sync({ cqrsId: 'item' })).toMatchObject({ synced: 3, unroutable: 0, refused: 1 });
  });
});
