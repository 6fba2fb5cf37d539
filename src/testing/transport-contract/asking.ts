import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { TransportError } from '../../kernel/errors.js';
import type { Transport } from '../../messaging/transport/transport.js';
import { type Case, message } from './bench.js';

const PATIENT = { timeoutMs: 10_000 };

/** What ask and answer promise. */
export const askingCases: readonly Case[] = [
  [
    'ask: the answer is made outside of what the asker is in the middle of',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const other = await bench.join();
      // An open transaction, say, which an ORM of the answerer would take for its own.
      const transaction = new AsyncLocalStorage<string>();
      await other.transport.answer(queue, async () => String(transaction.getStore()));
      assert.equal(await transaction.run('of the asker', () => ask(transport, queue, '?')), 'undefined');
    },
  ],
  [
    'ask: the answer comes to its question, however many are under way',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const other = await bench.join();
      await other.transport.answer(queue, async (question) => `answer to ${text(question)}`);
      const questions = Array.from({ length: 50 }, (_, index) => `question é ${index}`);
      const answers = await Promise.all(questions.map((question) => ask(transport, queue, question)));
      assert.deepEqual(
        answers,
        questions.map((question) => `answer to ${question}`),
      );
    },
  ],
  [
    'ask: answers of megabytes arrive whole',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      await transport.answer(queue, async (question) => text(question).repeat(3));
      const question = 'x'.repeat(1_000_000);
      assert.equal((await ask(transport, queue, question)).length, 3_000_000);
    },
  ],
  [
    'ask: to nobody it fails at once, without a connection too',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const startedAt = Date.now();
      await assert.rejects(ask(transport, queue, '?'), (error: unknown) => {
        assert.ok(error instanceof TransportError);
        assert.match(error.message, /nobody answers/);
        return true;
      });
      // A queue with a consumer answers nothing by that.
      const inbox = await bench.consume(transport, { queue });
      await assert.rejects(ask(transport, queue, '?'), TransportError);
      assert.ok(Date.now() - startedAt < PATIENT.timeoutMs, 'it should not wait for its time to be over');
      assert.equal(inbox.waiting, 0);
      const { transport: unconnected } = await bench.join({ connect: false });
      await assert.rejects(ask(unconnected, queue, '?'), TransportError);
      await assert.rejects(
        unconnected.answer(queue, async () => ''),
        TransportError,
      );
    },
  ],
  [
    'ask: fails when the time is over, when it is given up, and when nothing can be answered; the next question works',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const silence = Promise.withResolvers<string>();
      const other = await bench.join();
      await other.transport.answer(queue, async (question) => {
        if (text(question) === 'late') return silence.promise;
        if (text(question) === 'bad') throw new Error('no answer');
        return 'well';
      });
      await assert.rejects(transport.ask(queue, 'late', { timeoutMs: 200 }), TransportError);
      const given = new AbortController();
      const asking = transport.ask(queue, 'bad', { ...PATIENT, signal: given.signal });
      given.abort();
      await assert.rejects(asking, TransportError);
      await assert.rejects(transport.ask(queue, 'bad', { timeoutMs: 200 }), TransportError);
      silence.resolve('too late');
      assert.equal(await ask(transport, queue, 'how are you'), 'well');
    },
  ],
  [
    'ask: questions meet no consumer of the queue, and messages no answerer',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport);
      const seen: string[] = [];
      await transport.answer(inbox.queue, async (question) => {
        seen.push(text(question));
        return 'yes';
      });
      assert.equal(await ask(transport, inbox.queue, 'question'), 'yes');
      await bench.confirmed(transport, message('message'));
      assert.deepEqual(await inbox.bodies(1), ['message']);
      assert.deepEqual([seen, inbox.waiting], [['question'], 0]);
    },
  ],
  [
    'answer: several share the questions; one that is gone leaves them to the others, then to nobody',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const [one, two] = [await bench.join(), await bench.join()];
      const hangs = Promise.withResolvers<string>();
      const taken = Promise.withResolvers<void>();
      await one.transport.answer(queue, () => {
        taken.resolve();
        return hangs.promise;
      });
      const asking = ask(transport, queue, 'to one');
      await taken.promise;
      const answering = await two.transport.answer(queue, async () => 'from two');
      await one.transport.close();
      assert.equal(await asking, 'from two');
      await answering.cancel();
      await assert.rejects(ask(transport, queue, '?'), TransportError);
      hangs.resolve('nobody listens');
    },
  ],
  [
    'answer: cancel answers what is in hand',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const other = await bench.join();
      const taken = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const answering = await other.transport.answer(queue, async () => {
        taken.resolve();
        await goOn.promise;
        return 'the last';
      });
      const asking = ask(transport, queue, '?');
      await taken.promise;
      const cancelled = answering.cancel();
      goOn.resolve();
      await cancelled;
      assert.equal(await asking, 'the last');
    },
  ],
  [
    'close: gives up what was asked',
    async (bench) => {
      const { transport } = await bench.join();
      const queue = bench.queueName();
      const other = await bench.join();
      const taken = Promise.withResolvers<void>();
      await other.transport.answer(queue, () => {
        taken.resolve();
        return new Promise(() => {});
      });
      const asking = assert.rejects(ask(transport, queue, '?'), TransportError);
      await taken.promise;
      await transport.close();
      await asking;
    },
  ],
];

async function ask(transport: Transport, queue: string, question: string): Promise<string> {
  return text(await transport.ask(queue, question, PATIENT));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
