import assert from 'node:assert/strict';
import { Header } from '../../messaging/headers.js';
import type { Transport } from '../../messaging/transport/transport.js';
import { type Case, ID, message, text } from './bench.js';

/** What connect and publish promise. */
export const publishingCases: readonly Case[] = [
  [
    'connect: says so with an event, and may be called again',
    async (bench) => {
      const { transport, events } = await bench.join({ connect: false });
      const connected = events.next('cqrs.transport.connected');
      await bench.connect(transport, events);
      assert.ok((await connected).broker.length > 0);
      await bench.connect(transport, events);
    },
  ],
  [
    'publish: answers once for each message, in order, whatever becomes of the others',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      const results = await transport.publish([
        message('a'),
        message('b', { cqrsId: 'nobody.wants.this' }),
        message('c'),
        message('c', { cqrsId: 'nobody.wants.this' }),
        message('d', { queue: 'no_such_queue' }),
        message('e', { queue: inbox.queue }),
      ]);
      assert.deepEqual(results, ['confirmed', 'unroutable', 'confirmed', 'unroutable', 'unroutable', 'confirmed']);
      assert.deepEqual(await inbox.bodies(3), ['a', 'c', 'e']);
      assert.deepEqual(await transport.publish([]), []);
    },
  ],
  [
    'publish: keeps the order of a thousand messages',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 2_000 });
      const bodies = Array.from({ length: 1_000 }, (_, index) => `body ${index}`);
      const [first, second] = await Promise.all([
        transport.publish(bodies.slice(0, 500).map((body) => message(body))),
        transport.publish(bodies.slice(500).map((body) => message(body))),
      ]);
      assert.ok([...first, ...second].every((result) => result === 'confirmed'));
      assert.deepEqual(await inbox.bodies(1_000), bodies);
    },
  ],
  [
    'publish: a broadcast reaches every queue bound for the id, a direct message one queue alone',
    async (bench) => {
      const { transport } = await bench.join();
      const [one, two] = [await bench.consume(transport), await bench.consume(transport)];
      await bench.confirmed(transport, message('to one', { queue: one.queue }), message('to all'));
      const [direct, broadcast] = await one.take(2);
      assert.deepEqual([text(direct!), direct!.direct, direct!.cqrsId], ['to one', true, ID]);
      assert.deepEqual([text(broadcast!), broadcast!.direct, broadcast!.cqrsId], ['to all', false, ID]);
      assert.equal(text(await two.next()), 'to all');
      assert.equal((await bench.state(transport, two.queue)).messages, 0);
    },
  ],
  [
    'publish: bytes and headers arrive as they were sent',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      const body = '{"name":"Zoë 🦊 \u0000","n":9223372036854775807}';
      const headers = { [Header.committedAt]: 1_795_219_200_123, [Header.reason]: 'né' };
      await bench.confirmed(transport, { ...message(body), headers }, message('plain'));
      const [delivery, plain] = await inbox.take(2);
      assert.deepEqual(Buffer.from(delivery!.body), Buffer.from(body));
      assert.partialDeepStrictEqual(delivery!.headers, headers);
      assert.equal(delivery!.redelivered, false);
      assert.equal(plain!.headers[Header.reason], undefined);
    },
  ],
  [
    'publish: without a connection each message has failed, and nothing is thrown',
    async (bench) => {
      const { transport, events } = await bench.join({ connect: false });
      await assertFailed(transport, 2);
      await bench.connect(transport, events);
      await transport.close();
      await assertFailed(transport, 2);
    },
  ],
];

async function assertFailed(transport: Transport, count: number): Promise<void> {
  const results = await transport.publish(Array.from({ length: count }, () => message('a')));
  assert.equal(results.length, count);
  for (const result of results)
    assert.ok(typeof result === 'object' && 'failed' in result && result.failed instanceof Error);
}
