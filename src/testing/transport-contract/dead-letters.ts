import assert from 'node:assert/strict';
import { TransportError } from '../../kernel/errors.js';
import type { DeadLetter, Transport } from '../../messaging/transport/transport.js';
import { type Bench, type Case, ID, type Inbox, message } from './bench.js';

/** What an operator may do with dead letters. */
export const deadLetterCases: readonly Case[] = [
  [
    'dead letters: a queue that does not exist has none; without a connection the question fails',
    async (bench) => {
      const { transport } = await bench.join();
      const options = { queue: bench.queueName(), deadLetterQueue: bench.queueName() };
      assert.equal(await transport.openDeadLetters(options), undefined);
      assert.equal(await transport.inspect(options.deadLetterQueue), undefined);
      const other = await bench.join({ connect: false });
      await assert.rejects(other.transport.openDeadLetters(options), TransportError);
    },
  ],
  [
    'dead letters: are read page by page, oldest first, to the end, and lie there in order afterwards',
    async (bench) => {
      const { transport, inbox } = await bury(bench, 5);
      for (const round of ['first', 'second']) {
        await using letters = (await transport.openDeadLetters(inbox.options))!;
        assert.equal(letters.count, 5, `${round} look`);
        const pages = [await letters.take(2), await letters.take(2), await letters.take(2), await letters.take(2)];
        assert.deepEqual(
          pages.map((page) => page.map(bodyOf)),
          [['dead 0', 'dead 1'], ['dead 2', 'dead 3'], ['dead 4'], []],
        );
        assert.deepEqual([pages[0]![0]!.cqrsId, pages[0]![0]!.headers['x-why']], [ID, 'because']);
        await letters[Symbol.asyncDispose]();
        await bench.eventually(transport, inbox.options.deadLetterQueue, (state) => state.messages === 5);
      }
    },
  ],
  [
    'dead letters: one is put back to its queue with a new body, one purged, the others stay in order',
    async (bench) => {
      const { transport, inbox } = await bury(bench, 4);
      {
        await using letters = (await transport.openDeadLetters(inbox.options))!;
        const [, one, two] = await letters.take(3);
        await one!.putBack('alive', { 'x-why': 'asked' });
        await two!.purge();
      }
      const revived = await inbox.next();
      assert.deepEqual([bodyOf(revived), revived.cqrsId, revived.direct], ['alive', ID, true]);
      assert.equal(revived.headers['x-why'], 'asked');
      await bench.eventually(transport, inbox.options.deadLetterQueue, (state) => state.messages === 2);
      assert.deepEqual(await (await bench.read(transport, inbox.options.deadLetterQueue)).bodies(2), [
        'dead 0',
        'dead 3',
      ]);
    },
  ],
  [
    'dead letters: many are purged for good, among many that stay',
    async (bench) => {
      const { transport, inbox } = await bury(bench, 301);
      {
        await using letters = (await transport.openDeadLetters(inbox.options))!;
        const taken = await letters.take(300);
        await Promise.all(taken.filter((_, index) => index % 3 !== 0).map((letter) => letter.purge()));
      }
      await transport.close();
      const next = await bench.join();
      const queue = inbox.options.deadLetterQueue;
      const rest = await bench.consume(next.transport, { queue, cqrsIds: [], prefetch: 1_000 });
      const expected = Array.from({ length: 101 }, (_, index) => `dead ${index * 3}`);
      assert.deepEqual((await rest.bodies(101)).toSorted(), expected.toSorted());
      await bench.eventually(next.transport, inbox.options.deadLetterQueue, (state) => state.messages === 0);
      assert.equal(rest.waiting, 0);
    },
  ],
  [
    'dead letters: purge takes all but those in hand',
    async (bench) => {
      const { transport, inbox } = await bury(bench, 3);
      {
        await using letters = (await transport.openDeadLetters(inbox.options))!;
        await letters.take(1);
        assert.equal(await letters.purge(), 2);
      }
      assert.deepEqual(await (await bench.read(transport, inbox.options.deadLetterQueue)).bodies(1), ['dead 0']);
    },
  ],
];

/** A queue whose dead letters are `dead 0`, `dead 1` … */
async function bury(bench: Bench, count: number): Promise<{ transport: Transport; inbox: Inbox }> {
  const { transport } = await bench.join();
  const inbox = await bench.consume(transport, { prefetch: 1_000 });
  await bench.confirmed(transport, ...Array.from({ length: count }, (_, index) => message(String(index))));
  for (const [index, delivery] of (await inbox.take(count)).entries()) {
    await delivery.deadLetter(`dead ${index}`, { 'x-why': 'because' });
  }
  await bench.eventually(transport, inbox.options.deadLetterQueue, (state) => state.messages === count);
  return { transport, inbox };
}

function bodyOf({ body }: Pick<DeadLetter, 'body'>): string {
  return new TextDecoder().decode(body);
}
