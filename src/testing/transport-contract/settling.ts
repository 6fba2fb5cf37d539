import assert from 'node:assert/strict';
import { Header } from '../../messaging/headers.js';
import { type Case, ID, message, OTHER_ID, text } from './bench.js';

/** What the five ends of a delivery promise. */
export const settlingCases: readonly Case[] = [
  [
    'ack: the message is gone',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 1_000 });
      await bench.confirmed(transport, ...Array.from({ length: 300 }, (_, index) => message(String(index))));
      const deliveries = await inbox.take(300);
      const done = deliveries.filter((_, index) => index % 100 !== 50);
      // Out of order, since handlers finish when they finish.
      await Promise.all(done.toReversed().map((delivery) => delivery.ack()));
      await transport.close();
      const later = await bench.consume((await bench.join()).transport, inbox.options);
      assert.deepEqual(await later.bodies(3), ['50', '150', '250']);
      assert.equal(later.waiting, 0);
    },
  ],
  [
    'retry: comes back after the delay, to this queue alone, with the new body and headers',
    async (bench) => {
      const { transport } = await bench.join();
      const [one, two] = [await bench.consume(transport), await bench.consume(transport)];
      await bench.confirmed(transport, message('first try'));
      const delivery = await one.next();
      await (await two.next()).ack();
      const startedAt = performance.now();
      await delivery.retry('second try', 300, { [Header.reason]: 'busy', [Header.waitingSince]: 7 });
      const again = await one.next();
      assert.ok(performance.now() - startedAt >= 290, 'it came back too early');
      assert.deepEqual([text(again), again.cqrsId, again.direct], ['second try', ID, true]);
      assert.partialDeepStrictEqual(again.headers, { [Header.reason]: 'busy', [Header.waitingSince]: 7 });
      assert.equal(two.waiting, 0);
      await again.retry('third try', 300);
      assert.equal(text(await one.next()), 'third try');
    },
  ],
  [
    'retry: without a delay it comes back at once, behind what waits already',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 1 });
      await bench.confirmed(transport, message('a'), message('b'));
      await (await inbox.next()).retry('a again', 0);
      const b = await inbox.next();
      await b.ack();
      assert.deepEqual([text(b), text(await inbox.next())], ['b', 'a again']);
    },
  ],
  [
    'retry: a long wait does not hold up a short one',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await bench.confirmed(transport, message('a'), message('b'));
      const [a, b] = await inbox.take(2);
      await a!.retry('long', 1_500);
      await b!.retry('short', 100);
      assert.deepEqual(await inbox.bodies(2), ['short', 'long']);
    },
  ],
  [
    'retry: the wait survives the process that asked for it',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await bench.confirmed(transport, message('a'));
      await (await inbox.next()).retry('a again', 500);
      await transport.close();
      const later = await bench.consume((await bench.join()).transport, inbox.options);
      assert.equal(text(await later.next()), 'a again');
    },
  ],
  [
    'putOff: comes back to this queue alone, as it came, after the delay',
    async (bench) => {
      const { transport } = await bench.join();
      const [inbox, other] = [await bench.consume(transport), await bench.consume(transport)];
      await bench.confirmed(transport, { ...message('{"broken": é'), headers: { [Header.committedAt]: 5 } });
      await (await other.next()).ack();
      await (await inbox.next()).putOff(50);
      const again = await inbox.next();
      assert.deepEqual(Buffer.from(again.body), Buffer.from('{"broken": é'));
      assert.partialDeepStrictEqual(again.headers, { [Header.committedAt]: 5 });
      assert.deepEqual([again.cqrsId, again.direct], [ID, true]);
      await again.ack();
      assert.equal((await bench.state(transport, other.queue)).messages, 0);
    },
  ],
  [
    'deadLetter: goes to the dead-letter queue with the new body and headers, and leaves this one',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await bench.confirmed(transport, message('a'));
      await (await inbox.next()).deadLetter('dead', { [Header.reason]: 'too many retries' });
      const dead = await (await bench.read(transport, inbox.options.deadLetterQueue)).next();
      assert.deepEqual([text(dead), dead.cqrsId], ['dead', ID]);
      assert.partialDeepStrictEqual(dead.headers, { [Header.reason]: 'too many retries' });
      await transport.close();
      const next = await bench.join();
      assert.equal((await bench.state(next.transport, inbox.queue)).messages, 0);
    },
  ],
  [
    'deadLetter: is dropped after its time, or kept when it has none',
    async (bench) => {
      const { transport } = await bench.join();
      const [brief, kept] = [await bench.consume(transport, { deadLetterTtlMs: 200 }), await bench.consume(transport)];
      await bench.confirmed(transport, message('a'));
      await (await kept.next()).deadLetter('kept');
      await (await brief.next()).deadLetter('brief');
      await bench.eventually(transport, brief.options.deadLetterQueue, (state) => state.messages === 0);
      assert.equal((await bench.state(transport, kept.options.deadLetterQueue)).messages, 1);
    },
  ],
  [
    'retry and deadLetter: nothing is lost for an id that is no longer consumed',
    async (bench) => {
      const { transport } = await bench.join();
      const before = await bench.consume(transport, { cqrsIds: [ID, OTHER_ID] });
      await transport.close();
      const next = await bench.join();
      const queues = { ...before.options, deadLetterQueue: bench.queueName() };
      const inbox = await bench.consume(next.transport, { ...queues, cqrsIds: [ID] });
      await bench.confirmed(next.transport, message('a', { cqrsId: OTHER_ID }));
      await (await inbox.next()).retry('a again', 50);
      const again = await inbox.next();
      assert.deepEqual([text(again), again.cqrsId], ['a again', OTHER_ID]);
      await again.deadLetter('dead');
      const dead = await (await bench.read(next.transport, queues.deadLetterQueue)).next();
      assert.equal(text(dead), 'dead');
    },
  ],
  [
    'unreadable: the bytes go as they came to their own queue, with the reason',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      await bench.confirmed(transport, { ...message('{"broken": é'), headers: { [Header.committedAt]: 5 } });
      await (await inbox.next()).unreadable('the body is not JSON');
      const unreadable = await (await bench.read(transport, inbox.options.unreadableQueue)).next();
      assert.deepEqual(Buffer.from(unreadable.body), Buffer.from('{"broken": é'));
      assert.partialDeepStrictEqual(unreadable.headers, {
        [Header.reason]: 'the body is not JSON',
        [Header.committedAt]: 5,
      });
      assert.equal((await bench.state(transport, inbox.options.deadLetterQueue)).messages, 0);
    },
  ],
];
