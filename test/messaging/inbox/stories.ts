import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Header } from '../../../src/messaging/headers.js';
import { saveOf, gate, keyOf, numbers, ScriptedHandler, Stage, type TestBroker } from './harness.js';

const boom = new Error('boom');
const databaseError = (code: string): Error => Object.assign(new Error('from the database'), { code });

/** What becomes of messages, on any broker. */
export function tellInboxStories(broker: TestBroker): void {
  let stage: Stage;
  beforeEach(() => void (stage = new Stage(broker)));
  afterEach(() => stage[Symbol.asyncDispose]());

  describe(`the inbox over ${broker.name}`, () => {
    test('applies messages in the order they came and leaves nothing behind', async () => {
      await using worker = await stage.work({ replica: { batchSize: 10 } });
      await stage.sendWith({ [Header.committedAt]: 1_700_000_000_000 }, ...numbers(100).map((id) => saveOf(id)));
      await worker.log.until('cqrs.inbox.applied', 100);
      expect(worker.handler.applied).toEqual(numbers(100).map(String));
      expect(worker.handler.overlapped).toBe(false);
      expect(Math.max(...worker.handler.batches.map((batch) => batch.length))).toBeLessThanOrEqual(10);
      expect(worker.handler.seen[0]).toMatchObject({
        committedAt: new Date(1_700_000_000_000),
        direct: false,
        expired: false,
      });
      const [first] = await worker.log.until('cqrs.inbox.batch-applied');
      expect(first!.lagMs).toBeGreaterThan(0);
      await worker.consumer.stop();
      expect(await stage.depth()).toBe(0);
    });

    test('gathers the next batch while one is in work', async () => {
      const { opened, open } = gate();
      const handler = new ScriptedHandler();
      handler.gate = opened;
      await using worker = await stage.work({ handler, replica: { batchSize: 50, batchWaitMs: 0 } });
      await stage.send(saveOf(1));
      while (handler.batches.length === 0) await new Promise(setImmediate);
      await stage.send(...numbers(50).map((id) => saveOf(id)));
      while (await stage.depth()) await new Promise(setImmediate);
      await new Promise((resolve) => setTimeout(resolve, 0));
      open();
      await worker.log.until('cqrs.inbox.applied', 51);
      expect(handler.batches.length).toBeLessThan(10);
      expect(handler.overlapped).toBe(false);
    });

    // claims: bounded-memory
    test('holds no more unsettled messages than it may', async () => {
      const { opened, open } = gate();
      const handler = new ScriptedHandler();
      handler.gate = opened;
      await using worker = await stage.work({ handler, replica: { prefetch: 4, batchSize: 100 } });
      await stage.send(...numbers(10).map((id) => saveOf(id)));
      while (handler.batches.length === 0) await new Promise(setImmediate);
      expect(handler.batches[0]!.length).toBeLessThanOrEqual(4);
      open();
      await worker.log.until('cqrs.inbox.applied', 10);
      expect(handler.applied).toEqual(numbers(10).map(String));
    });

    test('a failed message is tried again later and counts its retries', async () => {
      await using worker = await stage.work();
      worker.handler.script = ({ payload }) => (payload.retries < 2 ? { kind: 'failed', error: boom } : undefined);
      await stage.sendWith(
        { [Header.committedAt]: 1_700_000_000_000 },
        saveOf(1, { correlation_id: 'c', cqrs_incarnation: 5 }),
      );
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.log.of('cqrs.inbox.retried')).toMatchObject([
        { cqrsId: 'account', instancePk: '1', retries: 0, delayMs: 20, reason: 'failed', error: boom },
        { retries: 1 },
      ]);
      expect(worker.handler.seen.map(({ payload }) => payload.retries)).toEqual([0, 1, 2]);
      const [first, , last] = worker.handler.seen;
      expect(last).toMatchObject({ direct: true, committedAt: first!.committedAt });
      expect(last!.payload.with({ retries: 0 }).toDict()).toEqual(first!.payload.toDict());
    });

    // claims: retries-survive
    test('a waiting message survives the death of its worker', async () => {
      const first = await stage.work({ replica: { retryDelaySeconds: 0.3 } });
      first.handler.script = () => ({ kind: 'failed', error: boom });
      await stage.send(saveOf(1));
      await first.log.until('cqrs.inbox.retried');
      await first.die();
      await using second = await stage.work({ replica: { retryDelaySeconds: 0.3 } });
      await second.log.until('cqrs.inbox.applied');
      expect(second.handler.seen[0]!.payload.retries).toBe(1);
    });

    // claims: at-least-once
    test('a message in the hands of a worker that dies is applied by the next one', async () => {
      const first = await stage.work();
      first.handler.gate = new Promise(() => {});
      await stage.send(saveOf(1));
      while (first.handler.batches.length === 0) await new Promise(setImmediate);
      await first.die();
      await using second = await stage.work();
      await second.log.until('cqrs.inbox.applied');
      expect(second.handler.applied).toEqual(['1']);
      expect(second.handler.seen[0]!.payload.retries).toBe(0);
    });

    // claims: dead-letter-reason
    test('after its last retry a message becomes a dead letter that says why', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 3 } });
      worker.handler.script = (message) => (keyOf(message) === '1' ? { kind: 'failed', error: boom } : undefined);
      const sent = saveOf(1, {
        meta: { from: 'sender' },
        previous_data: { name: 'old' },
        expires: '2026-11-22T00:00:00+00:00',
      });
      await stage.sendWith({ [Header.committedAt]: 1_700_000_000_000 }, sent);
      const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
      expect(event).toMatchObject({
        cqrsId: 'account',
        instancePk: '1',
        retries: 3,
        reason: 'max-retries',
        error: boom,
      });
      expect(worker.handler.seen).toHaveLength(4);
      const letter = await stage.firstDeadLetter();
      const { meta, ...rest } = letter.json;
      expect(rest).toEqual({ ...JSON.parse(sent), retries: 3, meta: undefined });
      expect(Object.keys(letter.json)).toEqual(Object.keys(JSON.parse(sent) as object));
      expect(meta).toEqual({
        from: 'sender',
        cqrs: { by: 'mikro-orm-cqrs', reason: 'max-retries', error: 'Error: boom', failedAt: expect.any(String) },
      });
      expect(letter.headers).toMatchObject({ [Header.reason]: 'max-retries', [Header.committedAt]: 1_700_000_000_000 });
      await stage.send(saveOf(2));
      await worker.log.until('cqrs.inbox.applied');
    });

    test('what others write into its headers stays with a message through retries and as a dead letter', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 2 } });
      worker.handler.script = () => ({ kind: 'failed', error: boom });
      const theirs = {
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        baggage: 'tenant=7',
        n: 3,
      };
      await stage.sendWith({ ...theirs, [Header.committedAt]: 1_700_000_000_000 }, saveOf(1));
      await worker.log.until('cqrs.inbox.dead-lettered');
      expect(worker.log.of('cqrs.inbox.retried')).toHaveLength(2);
      const letter = await stage.firstDeadLetter();
      expect(letter.headers).toEqual({
        ...theirs,
        [Header.reason]: 'max-retries',
        [Header.committedAt]: 1_700_000_000_000,
      });
    });

    // claims: meta-kept
    test("a sender's meta of the name that our notes have stays its own, whatever becomes of the message", async () => {
      const meta = { tenant: 7, cqrs: { reason: 'theirs' }, after: [1, null] };
      await using worker = await stage.work({ replica: { maxRetries: 1, retryDelaySeconds: 0.05 } });
      let attempts = 0;
      worker.handler.script = () => {
        if (++attempts === 1) throw databaseError('23503');
        return { kind: 'failed', error: boom };
      };
      await stage.send(saveOf('child', { meta }));
      await worker.log.until('cqrs.inbox.dead-lettered');
      expect(worker.handler.seen.map(({ payload }) => payload.meta)).toEqual([meta, meta, meta]);
      const letter = await stage.firstDeadLetter();
      expect(letter.json.meta).toEqual({
        ...meta,
        cqrs: {
          by: 'mikro-orm-cqrs',
          reason: 'max-retries',
          error: 'Error: boom',
          failedAt: expect.any(String),
          sent: { reason: 'theirs' },
        },
      });
    });

    test('a meta that is no object stays as the sender wrote it', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 0 } });
      worker.handler.script = () => ({ kind: 'failed', error: boom });
      await stage.send(saveOf(1, { meta: ['theirs'] }));
      await worker.log.until('cqrs.inbox.dead-lettered');
      expect((await stage.firstDeadLetter()).json.meta).toEqual(['theirs']);
    });

    test('numbers keep all their digits through retry and dead letter', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 1 } });
      worker.handler.script = () => ({ kind: 'failed', error: boom });
      const exact =
        '{"id":1,"big":9223372036854775807,"long":0.12345678901234567890123,"nan":NaN,"cqrs_revision":0,"cqrs_updated":"2026-11-21 12:00:00+00:00"}';
      await stage.send(saveOf(1).replace(/"instance_data":\{.*?\}/, `"instance_data":${exact}`));
      await worker.log.until('cqrs.inbox.dead-lettered');
      expect((await stage.firstDeadLetter()).body).toContain(`"instance_data":${exact}`);
    });

    test('an entity decides about its own retries', async () => {
      await using worker = await stage.work();
      worker.handler.rules = {
        shouldRetryCqrs: (retries) => retries < 1,
        getCqrsRetryDelay: (retries) => (retries + 1) / 100,
      };
      worker.handler.script = () => ({ kind: 'failed', error: boom });
      await stage.send(saveOf(1));
      const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
      expect(event!.retries).toBe(1);
      expect(worker.log.of('cqrs.inbox.retried')).toMatchObject([{ delayMs: 10 }]);
    });

    test('a message that can never work is a dead letter at once', async () => {
      await using worker = await stage.work();
      worker.handler.script = () => ({ kind: 'dead-letter', reason: 'too-old-to-create' });
      await stage.send(saveOf(1));
      const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
      expect(event).toMatchObject({ reason: 'too-old-to-create', retries: 0 });
      expect(worker.handler.seen).toHaveLength(1);
    });

    // claims: poison-isolated
    test('one bad message in a batch is found, and the others are applied', async () => {
      const { opened, open } = gate();
      const handler = new ScriptedHandler();
      handler.gate = opened;
      handler.script = (message) => {
        if (keyOf(message) === '11' && message.payload.retries === 0) throw boom;
        return undefined;
      };
      await using worker = await stage.work({ handler, replica: { batchWaitMs: 300, batchSize: 16 } });
      await stage.send(...numbers(16).map((id) => saveOf(id)));
      open();
      await worker.log.until('cqrs.inbox.applied', 16);
      expect(worker.log.of('cqrs.inbox.retried')).toMatchObject([{ instancePk: '11', error: boom }]);
      expect(handler.batches[0]).toHaveLength(16);
      expect(worker.log.of('cqrs.inbox.batch-split')[0]).toMatchObject({ count: 16, error: boom });
      expect(handler.applied).toEqual([...numbers(16).filter((id) => id !== 11), 11].map(String));
    });

    test('a superseded message is not settled while its winner fails', async () => {
      await using worker = await stage.work({ replica: { batchWaitMs: 200, maxRetries: 0 } });
      // The newer of the two messages cannot be applied; while it is there, the older one is passed over for it.
      worker.handler.script = (message) => {
        if (message.payload.correlationId === 'newer') return { kind: 'failed', error: boom };
        return worker.handler.batches.at(-1)!.length > 1 ? { kind: 'skipped', reason: 'superseded' } : undefined;
      };
      await stage.send(saveOf(1, { correlation_id: 'older' }), saveOf(1, { correlation_id: 'newer' }));
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.log.of('cqrs.inbox.dead-lettered')).toHaveLength(1);
      expect(worker.log.of('cqrs.inbox.skipped')).toEqual([]);
    });

    test('a superseded message whose winner is applied is skipped with it', async () => {
      await using worker = await stage.work({ replica: { batchWaitMs: 200 } });
      worker.handler.script = ({ payload }) =>
        payload.correlationId === 'older' ? { kind: 'skipped', reason: 'superseded' } : undefined;
      await stage.send(saveOf(1, { correlation_id: 'older' }), saveOf(1, { correlation_id: 'newer' }));
      expect(await worker.log.until('cqrs.inbox.skipped')).toMatchObject([{ reason: 'superseded', instancePk: '1' }]);
      expect(worker.handler.seen).toHaveLength(2);
    });

    test('while the database is away the batch waits, and nobody loses an attempt', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 0 } });
      let down = 2;
      worker.handler.script = () => {
        if (down-- > 0) throw databaseError('57P03');
        return undefined;
      };
      await stage.send(saveOf(1));
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.log.of('cqrs.inbox.failed')).toMatchObject([
        { error: { code: '57P03' } },
        { error: { code: '57P03' } },
      ]);
      expect(worker.handler.batches).toEqual([['1'], ['1'], ['1']]);
      expect(worker.log.of('cqrs.inbox.dead-lettered')).toEqual([]);
    });

    test('a query without an answer is held against the database first: the batch waits, and nobody loses an attempt', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 0 } });
      let silent = 3;
      worker.handler.script = () => {
        if (silent-- > 0) throw new Error('Query read timeout');
        return undefined;
      };
      await stage.send(saveOf(1));
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.log.of('cqrs.inbox.failed')).toHaveLength(3);
      expect(worker.log.of('cqrs.inbox.recovered')).toHaveLength(1);
      expect(worker.handler.seen.map(({ payload }) => payload.retries)).toEqual([0, 0, 0, 0]);
      expect(worker.log.of('cqrs.inbox.dead-lettered')).toEqual([]);
    });

    test('a message whose query never has an answer does not hold up the others', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 0, batchWaitMs: 200 } });
      worker.handler.script = (message) => {
        if (keyOf(message) === '3') throw new Error('Query read timeout');
        return undefined;
      };
      await stage.send(...numbers(6).map((id) => saveOf(id)));
      await worker.log.until('cqrs.inbox.applied', 5);
      expect(await worker.log.until('cqrs.inbox.dead-lettered')).toMatchObject([
        { instancePk: '3', reason: 'max-retries' },
      ]);
      // For the whole batch; its halves are not waited for again.
      expect(worker.log.of('cqrs.inbox.failed')).toHaveLength(3);
    });

    test('a worker that is stopped while the database is away leaves its messages to the next', async () => {
      const first = await stage.work();
      first.handler.script = () => {
        throw databaseError('08006');
      };
      await stage.send(saveOf(1));
      await first.log.until('cqrs.inbox.failed');
      await first[Symbol.asyncDispose]();
      await using second = await stage.work();
      await second.log.until('cqrs.inbox.applied');
      expect(second.handler.seen[0]!.payload.retries).toBe(0);
    });

    test('a worker that is stopped finishes the batch in hand and leaves the rest', async () => {
      const { opened, open } = gate();
      const first = await stage.work({ replica: { batchSize: 2, batchWaitMs: 300 } });
      first.handler.gate = opened;
      await stage.send(...numbers(6).map((id) => saveOf(id)));
      while (first.handler.batches.length === 0) await new Promise(setImmediate);
      const stopped = first[Symbol.asyncDispose]();
      open();
      await stopped;
      expect(first.handler.applied).toEqual(['1', '2']);
      expect(first.log.of('cqrs.inbox.applied')).toHaveLength(2);
      await using second = await stage.work();
      await second.log.until('cqrs.inbox.applied', 4);
      expect(second.handler.applied).toEqual(['3', '4', '5', '6']);
    });

    test('a handler gets no more than it takes at once, and a stop comes between two calls', async () => {
      const { opened, open } = gate();
      const handler = new ScriptedHandler();
      handler.most = 2;
      handler.gate = opened;
      const first = await stage.work({ replica: { batchSize: 5, batchWaitMs: 300 }, handler });
      await stage.send(...numbers(5).map((id) => saveOf(id)));
      while (handler.batches.length === 0) await new Promise(setImmediate);
      const stopped = first[Symbol.asyncDispose]();
      open();
      await stopped;
      expect(handler.batches).toEqual([['1', '2']]);
      handler.gate = Promise.resolve();
      await using second = await stage.work({ replica: { batchSize: 5, batchWaitMs: 300 }, handler });
      await second.log.until('cqrs.inbox.applied', 3);
      expect(handler.batches.slice(1)).toEqual([['3', '4'], ['5']]);
    });

    test('a foreign key that is not there yet is waited for without counting', async () => {
      await using worker = await stage.work({ replica: { maxRetries: 0 } });
      let parentArrived = false;
      worker.handler.script = ({ payload }) => {
        if (payload.instancePk === 'parent') parentArrived = true;
        else if (!parentArrived) throw databaseError('23503');
        return undefined;
      };
      await stage.send(saveOf('child'));
      await worker.log.until('cqrs.inbox.retried', 2);
      await stage.send(saveOf('parent'));
      await worker.log.until('cqrs.inbox.applied', 2);
      expect(worker.handler.seen.every(({ payload }) => payload.retries === 0)).toBe(true);
      expect(worker.log.of('cqrs.inbox.retried')[0]).toMatchObject({ reason: 'foreign-key', instancePk: 'child' });
    });

    test('a foreign key that never comes ends the wait in time, and a revival begins a new one', async () => {
      await using worker = await stage.work({ replica: { foreignKeyWaitSeconds: 0.1 } });
      worker.handler.script = () => {
        throw databaseError('23503');
      };
      await stage.send(saveOf('child'));
      const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
      expect(event).toMatchObject({ reason: 'foreign-key', retries: 0 });
      const letter = await stage.firstDeadLetter();
      expect(letter.json.meta['cqrs']).toMatchObject({ reason: 'foreign-key' });
      expect(letter.json.meta['cqrs']).not.toHaveProperty('waitingSince');
      expect(letter.headers).not.toHaveProperty([Header.waitingSince]);
    });

    test('since when a foreign key is missing survives a broker or a Python replica that drops headers', async () => {
      await using worker = await stage.work();
      worker.handler.script = () => {
        throw databaseError('23503');
      };
      await stage.send(saveOf('child', { meta: { cqrs: { waitingSince: Date.now() - 3_600_000 } } }));
      expect(await worker.log.until('cqrs.inbox.dead-lettered')).toMatchObject([{ reason: 'foreign-key' }]);
    });

    test('an id that nobody declared becomes a dead letter', async () => {
      await using worker = await stage.work();
      await stage.send(saveOf(1, { cqrs_id: 'ghost' }), saveOf(2));
      const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
      expect(event).toMatchObject({ cqrsId: 'ghost', reason: 'unknown-cqrs-id' });
      expect((await stage.firstDeadLetter()).json).toMatchObject({
        cqrs_id: 'ghost',
        meta: { cqrs: { reason: 'unknown-cqrs-id' } },
      });
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.handler.applied).toEqual(['2']);
    });

    test('or is discarded, if so set', async () => {
      await using worker = await stage.work({ replica: { unknownCqrsId: 'discard' } });
      await stage.send(saveOf(1, { cqrs_id: 'ghost' }), saveOf(2));
      expect(await worker.log.until('cqrs.inbox.skipped')).toMatchObject([
        { cqrsId: 'ghost', reason: 'unknown-cqrs-id' },
      ]);
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.log.of('cqrs.inbox.dead-lettered')).toEqual([]);
    });

    test('an expired message reaches its handler marked as such', async () => {
      await using worker = await stage.work();
      await stage.send(
        saveOf(1, { expires: '2001-01-01T00:00:00+00:00' }),
        saveOf(2, { expires: '2099-01-01T00:00:00+00:00' }),
      );
      await worker.log.until('cqrs.inbox.applied', 2);
      expect(worker.handler.seen.map(({ expired }) => expired)).toEqual([true, false]);
    });
  });

  describe(`bodies that cannot be read, over ${broker.name}`, () => {
    test.each(poison)('%s: set aside with a reason, and the next message is applied', async (_, bad, reason) => {
      await using worker = await stage.work();
      await stage.send(bad, saveOf(1));
      const [event] = await worker.log.until('cqrs.inbox.unreadable');
      expect(event).toMatchObject({
        queue: stage.queue,
        bytes: Buffer.byteLength(bad),
        reason: expect.stringMatching(reason),
      });
      const kept = await stage.first(`unreadable_${stage.queue}`);
      expect(kept.body).toBe(bad);
      expect(kept.headers[Header.reason]).toMatch(reason);
      await worker.log.until('cqrs.inbox.applied');
      expect(worker.handler.applied).toEqual(['1']);
      expect(worker.handler.seen).toHaveLength(1);
    });
  });
}

const data = (over: Record<string, unknown>): string =>
  saveOf(9, { instance_data: { id: 9, cqrs_revision: 0, cqrs_updated: '2026-11-21 12:00:00+00:00', ...over } });

/** What arrives, and what is said of it. None of them may be tried twice, stop the worker, or take a neighbour along. */
const poison: [string, string, RegExp][] = [
  ['nothing at all', '', /not JSON/],
  ['half a body', saveOf(9).slice(0, 40), /not JSON/],
  ['text', 'hello', /not JSON/],
  ['trailing data', `${saveOf(9)}}`, /not JSON/],
  ['single quotes', `{'signal_type':'SAVE'}`, /not JSON/],
  ['null', 'null', /not a valid payload/],
  ['a number', '42', /not a valid payload/],
  ['a boolean', 'true', /not a valid payload/],
  ['a list', '[1,2]', /not a valid payload/],
  ['no signal', saveOf(9, { signal_type: undefined }), /signal_type/],
  ['an unknown signal', saveOf(9, { signal_type: 'EXPLODE' }), /signal_type/],
  ['no id', saveOf(9, { cqrs_id: undefined }), /cqrs_id/],
  ['an id that is a list', saveOf(9, { cqrs_id: ['account'] }), /cqrs_id/],
  ['an empty id', saveOf(9, { cqrs_id: '' }), /cqrs_id/],
  ['no data', saveOf(9, { instance_data: undefined }), /instance_data/],
  ['data that is a list', saveOf(9, { instance_data: [1] }), /instance_data/],
  ['previous data that is text', saveOf(9, { previous_data: 'x' }), /previous_data/],
  ['no revision', data({ cqrs_revision: undefined }), /cqrs_revision/],
  ['a revision that is text', data({ cqrs_revision: '1' }), /cqrs_revision/],
  ['a negative revision', data({ cqrs_revision: -1 }), /cqrs_revision/],
  ['no time of change', data({ cqrs_updated: undefined }), /cqrs_updated/],
  ['a time of change that never was', data({ cqrs_updated: '2026-02-31 12:00:00+00:00' }), /cqrs_updated/],
  ['retries that are text', saveOf(9, { retries: 'many' }), /retries/],
  ['negative retries', saveOf(9, { retries: -1 }), /retries/],
  ['an expiry that is no date', saveOf(9, { expires: 'tomorrow' }), /expires/],
  ['an expiry that is a number', saveOf(9, { expires: 1 }), /expires/],
  ['a key that reaches for the prototype', saveOf(9).replace('"name"', '"__proto__"'), /__proto__/],
  ['such a key in disguise', saveOf(9).replace('"name"', String.raw`"\u005f_proto__"`), /__proto__/],
  ['ten thousand levels', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, /nested/],
];
