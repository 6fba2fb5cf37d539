import { describe, expect, test } from '@jest/globals';
import { ConfigurationError } from '../../../src/kernel/errors.js';
import { Events } from '../../../src/kernel/events.js';
import { transportContract } from '../../../src/testing/index.js';
import { MemoryBroker, MemoryTransport } from '../../../src/messaging/transport/memory.js';
import type { ConsumeOptions, Delivery } from '../../../src/messaging/transport/transport.js';

const context = () => ({ events: new Events(), exchange: 'cqrs', publishTimeoutMs: 1_000 });
const options: ConsumeOptions = {
  queue: 'reports',
  deadLetterQueue: 'dead_letter_reports',
  unreadableQueue: 'unreadable_reports',
  cqrsIds: ['account'],
  prefetch: 1_000,
  deadLetterTtlMs: null,
};

describe('MemoryTransport keeps the contract', () => {
  for (const { name, run } of transportContract(() => {
    const broker = new MemoryBroker();
    return { transport: () => new MemoryTransport(broker) };
  })) {
    test(name, run);
  }
});

describe('MemoryBroker', () => {
  test('carries 100,000 messages within seconds', async () => {
    const transport = new MemoryTransport();
    await transport.connect(context());
    const count = 100_000;
    const startedAt = performance.now();
    const last = Promise.withResolvers<void>();
    let received = 0;
    await transport.consume(options, (delivery) => {
      void delivery.ack();
      if (++received === count) last.resolve();
    });
    const route = { cqrsId: 'account', queue: null };
    await transport.publish(Array.from({ length: count }, () => ({ route, body: '{}' })));
    await last.promise;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await transport.close();
  });

  test('keeps transports without a common broker apart', async () => {
    const [one, two] = [new MemoryTransport(), new MemoryTransport()];
    await Promise.all([one.connect(context()), two.connect(context())]);
    await one.consume(options, () => {});
    expect(await two.inspect(options.queue)).toBeUndefined();
  });

  test('says which binding was missing when a queue gets another id', async () => {
    const { events, ...rest } = context();
    const transport = new MemoryTransport();
    await transport.connect({ events, ...rest });
    const subscription = await transport.consume(options, () => {});
    await subscription.cancel();
    const gap = events.next('cqrs.inbox.gap');
    await transport.consume({ ...options, cqrsIds: ['account', 'author'] }, () => {});
    expect(await gap).toEqual({ queue: 'reports', missing: 'binding', cqrsIds: ['author'] });
  });

  test('delivers on a later turn of the event loop, never from within publish', async () => {
    const transport = new MemoryTransport();
    await transport.connect(context());
    const seen: Delivery[] = [];
    const arrived = Promise.withResolvers<void>();
    await transport.consume(options, (delivery) => {
      seen.push(delivery);
      arrived.resolve();
    });
    await transport.publish([{ route: { cqrsId: 'account', queue: null }, body: '{}' }]);
    expect(seen).toHaveLength(0);
    await arrived.promise;
    expect(seen).toHaveLength(1);
  });

  test('refuses one transport for two services', async () => {
    const transport = new MemoryTransport();
    await transport.connect(context());
    await expect(transport.connect(context())).rejects.toThrow(ConfigurationError);
  });
});
