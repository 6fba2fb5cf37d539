import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { TransportError } from '../../kernel/errors.js';
import type { CqrsEvents } from '../../kernel/events.js';
import { type Case, ID, message, OTHER_ID, text } from './bench.js';

/** What consume, cancel, inspect and close promise. */
export const consumingCases: readonly Case[] = [
  [
    'consume: without a connection it rejects',
    async (bench) => {
      const { transport } = await bench.join({ connect: false });
      await assert.rejects(bench.consume(transport), TransportError);
      await assert.rejects(transport.inspect(bench.queueName()), TransportError);
    },
  ],
  [
    'consume: only the ids asked for arrive, however alike they look',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { cqrsIds: [ID] });
      const ids = ['billing', `${ID}.line`, OTHER_ID, ID];
      const results = await transport.publish(ids.map((cqrsId) => message(cqrsId, { cqrsId })));
      assert.deepEqual(results, ['unroutable', 'unroutable', 'unroutable', 'confirmed']);
      assert.equal(text(await inbox.next()), ID);
    },
  ],
  [
    'consume: a delivery comes outside of what its sender is in the middle of',
    async (bench) => {
      const { transport } = await bench.join();
      const transaction = new AsyncLocalStorage<string>();
      const inbox = await bench.consume(transport);
      const { promise: seen, resolve } = Promise.withResolvers<string>();
      const reader = await bench.join();
      await inbox.subscription.cancel();
      await reader.transport.consume(inbox.options, (delivery) => {
        resolve(String(transaction.getStore()));
        void delivery.ack();
      });
      await transaction.run('of the sender', () => bench.confirmed(transport, message('a')));
      assert.equal(await seen, 'undefined');
    },
  ],
  [
    'consume: says when the queue did not exist, and only then',
    async (bench) => {
      const { transport, events } = await bench.join();
      const gaps: CqrsEvents['cqrs.inbox.gap'][] = [];
      events.on('cqrs.inbox.gap', (gap) => gaps.push(gap));
      const inbox = await bench.consume(transport, { cqrsIds: [ID, OTHER_ID] });
      assert.deepEqual(gaps, [{ queue: inbox.queue, missing: 'queue', cqrsIds: [ID, OTHER_ID] }]);
      await inbox.subscription.cancel();
      await bench.consume(transport, { ...inbox.options });
      assert.equal(gaps.length, 1);
    },
  ],
  [
    'consume: what was sent while nobody consumed is there later',
    async (bench) => {
      const first = await bench.join();
      const before = await bench.consume(first.transport);
      await first.transport.close();
      const { transport } = await bench.join();
      await bench.confirmed(transport, message('a'), message('b'));
      assert.deepEqual(await (await bench.consume(transport, before.options)).bodies(2), ['a', 'b']);
    },
  ],
  [
    'consume: at most `prefetch` deliveries are unsettled at a time',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 2 });
      await bench.confirmed(transport, ...['a', 'b', 'c', 'd', 'e'].map((body) => message(body)));
      const [a, b] = await inbox.take(2);
      await bench.eventually(transport, inbox.queue, (state) => state.messages === 3);
      assert.equal(inbox.waiting, 0);
      await Promise.all([a!.ack(), b!.ack()]);
      assert.deepEqual(await inbox.bodies(2), ['c', 'd']);
      await bench.eventually(transport, inbox.queue, (state) => state.messages === 1);
    },
  ],
  [
    'consume: consumers of one queue share its messages',
    async (bench) => {
      const { transport } = await bench.join();
      const one = await bench.consume(transport, { prefetch: 1 });
      const two = await bench.consume((await bench.join()).transport, { ...one.options, prefetch: 1 });
      await bench.confirmed(transport, message('a'), message('b'));
      const bodies = [text(await one.next()), text(await two.next())];
      assert.deepEqual(bodies.toSorted(), ['a', 'b']);
    },
  ],
  [
    'cancel: ends deliveries, and what was handed out can still be settled',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await bench.confirmed(transport, message('a'), message('b'));
      const [a, b] = await inbox.take(2);
      await inbox.subscription.cancel();
      await inbox.subscription.cancel();
      await bench.confirmed(transport, message('c'));
      await bench.eventually(transport, inbox.queue, (state) => state.messages === 1 && state.consumers === 0);
      assert.equal(inbox.waiting, 0);
      await a!.ack();
      await b!.retry('b again', 0);
      await bench.eventually(transport, inbox.queue, (state) => state.messages === 2);
      await transport.close();
      const later = await bench.consume((await bench.join()).transport, inbox.options);
      assert.deepEqual(await later.bodies(2), ['c', 'b again']);
    },
  ],
  [
    'close: what is unsettled comes again elsewhere, in order, marked as redelivered',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 3 });
      await bench.confirmed(transport, ...['a', 'b', 'c', 'd'].map((body) => message(body)));
      const [a, b, c] = await inbox.take(3);
      await b!.ack();
      await inbox.next();
      await transport.close();
      const next = await bench.join();
      const later = await bench.consume(next.transport, inbox.options);
      const deliveries = await later.take(3);
      assert.deepEqual(deliveries.map(text), ['a', 'c', 'd']);
      assert.ok(deliveries.every((delivery) => delivery.redelivered));
      // The old ones do nothing, or the copies now in other hands would end twice.
      await Promise.all([a!.ack(), c!.retry('c again', 0)]);
      await bench.confirmed(next.transport, message('last'));
      await bench.eventually(next.transport, inbox.queue, (state) => state.messages === 1);
      await Promise.all(deliveries.map((delivery) => delivery.ack()));
      assert.equal(text(await later.next()), 'last');
    },
  ],
  [
    'close: may be called at any time and more than once',
    async (bench) => {
      const { transport, events } = await bench.join({ connect: false });
      await transport.close();
      await bench.connect(transport, events);
      const consuming = bench.consume(transport).catch((error: unknown) => assert.ok(error instanceof TransportError));
      const publishing = transport.publish([message('a')]);
      await Promise.all([transport.close(), transport.close()]);
      await consuming;
      assert.equal((await publishing).length, 1);
      await transport.close();
    },
  ],
  [
    'inspect: counts waiting messages and consumers; undefined when there is no such queue',
    async (bench) => {
      const { transport } = await bench.join();
      assert.equal(await transport.inspect(bench.queueName()), undefined);
      const inbox = await bench.consume(transport);
      assert.deepEqual(await transport.inspect(inbox.queue), { messages: 0, consumers: 1 });
      await inbox.subscription.cancel();
      await bench.confirmed(transport, message('a'), message('b'));
      await bench.eventually(transport, inbox.queue, (state) => state.messages === 2 && state.consumers === 0);
    },
  ],
  [
    'removeQueue: what was in it is gone, and nothing is routed to it; false when there is no such queue',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await inbox.subscription.cancel();
      await bench.confirmed(transport, message('a'));
      assert.equal(await transport.removeQueue(inbox.queue), true);
      assert.equal(await transport.inspect(inbox.queue), undefined);
      assert.deepEqual(await transport.publish([message('b')]), ['unroutable']);
      assert.equal(await transport.removeQueue(inbox.queue), false);
    },
  ],
];
