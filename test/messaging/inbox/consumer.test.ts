import { describe, expect, test } from '@jest/globals';
import { ConfigurationError, TransportError } from '../../../src/kernel/errors.js';
import { Events } from '../../../src/kernel/events.js';
import { settingsOrThrow } from '../../../src/kernel/settings.js';
import { Consumer } from '../../../src/messaging/inbox/consumer.js';
import { saveOf, EventLog, memory, numbers, ScriptedHandler, Stage } from './harness.js';
import { tellInboxStories } from './stories.js';

tellInboxStories(memory);

describe('a consumer', () => {
  const never = { consume: () => new Promise<never>(() => {}) };
  const settings = settingsOrThrow({ queue: 'q' });

  test('that has no queue is a mistake of the set-up', () => {
    const parts = { transport: never, handlers: [], settings: settingsOrThrow({}), events: new Events() };
    expect(() => new Consumer(parts)).toThrow(ConfigurationError);
    expect(() => new Consumer(parts)).toThrow(/settings\.queue/);
  });

  test('that is to consume an id nobody handles is one too', () => {
    const parts = {
      transport: never,
      handlers: [new ScriptedHandler()],
      settings,
      events: new Events(),
      cqrsIds: ['ghost'],
    };
    expect(() => new Consumer(parts)).toThrow(/'ghost'.*known here: account/s);
  });

  test.each([
    [{ queue: 'q' }, {}, 'dead_letter_q'],
    [{ queue: 'q', deadLetterQueue: 'mine' }, {}, 'mine'],
    [{ queue: 'q', deadLetterQueue: 'mine' }, { queue: 'q.account' }, 'dead_letter_q.account'],
    [{ queue: 'q' }, { queue: 'q.account', deadLetterQueue: 'other' }, 'other'],
  ])('with %p and %p buries in %s', (given, parts, expected) => {
    const consumer = new Consumer({
      transport: never,
      handlers: [new ScriptedHandler()],
      settings: settingsOrThrow(given),
      events: new Events(),
      ...parts,
    });
    expect(consumer.deadLetterQueue).toBe(expected);
  });

  test('waits for a broker that is away, and starts when it is there', async () => {
    await using stage = new Stage(memory);
    const events = new Events();
    const log = new EventLog(events);
    const transport = await stage.join(events);
    let away = 2;
    const connect = async (): Promise<void> => {
      if (away-- > 0) throw new TransportError('Nobody answers');
    };
    await using consumer = new Consumer({ transport, connect, handlers: [new ScriptedHandler()], settings, events });
    await consumer.start();
    expect(log.all.map(({ name }) => name)).toEqual([
      'cqrs.transport.connected',
      'cqrs.inbox.failed',
      'cqrs.inbox.failed',
      'cqrs.inbox.gap',
      'cqrs.inbox.recovered',
      'cqrs.consumer.started',
    ]);
  });

  test('does not wait for a mistake of the set-up to go away', async () => {
    const mistake = new ConfigurationError([{ where: 'queue', what: 'has other arguments.', cure: 'Delete it.' }]);
    const transport = { consume: () => Promise.reject(mistake) };
    const consumer = new Consumer({ transport, handlers: [new ScriptedHandler()], settings, events: new Events() });
    await expect(consumer.start()).rejects.toBe(mistake);
    await consumer.stop();
  });

  test('can be stopped while it waits for the broker', async () => {
    const consumer = new Consumer({
      transport: never,
      handlers: [new ScriptedHandler()],
      settings,
      events: new Events(),
    });
    const started = consumer.start();
    await consumer.stop();
    await started;
  });

  test('offers a message again that the broker did not take', async () => {
    await using stage = new Stage(memory);
    const events = new Events();
    const log = new EventLog(events);
    const transport = await stage.join(events);
    const handler = new ScriptedHandler();
    handler.script = ({ payload }) =>
      payload.retries === 0 ? { kind: 'failed', error: new Error('boom') } : undefined;
    let refusals = 2;
    const refusing: ConstructorParameters<typeof Consumer>[0]['transport'] = {
      consume: (options, onDelivery) =>
        transport.consume(options, (delivery) => {
          const retry = delivery.retry.bind(delivery);
          delivery.retry = (...args) =>
            refusals-- > 0 ? Promise.reject(new TransportError('Blocked')) : retry(...args);
          onDelivery(delivery);
        }),
    };
    const its = settingsOrThrow({ queue: stage.queue, exchange: stage.exchange, replica: { retryDelaySeconds: 0.01 } });
    await using consumer = new Consumer({ transport: refusing, handlers: [handler], settings: its, events });
    await consumer.start();
    await stage.send(saveOf(1));
    await log.until('cqrs.inbox.applied');
    expect(log.of('cqrs.inbox.failed')).toHaveLength(2);
    expect(log.of('cqrs.inbox.retried')).toHaveLength(1);
  });

  test('takes a handler at its word: too few answers are a failure, not a success', async () => {
    await using stage = new Stage(memory);
    const handler = new ScriptedHandler();
    handler.handle = async () => [];
    await using worker = await stage.work({ handler, replica: { maxRetries: 0 } });
    await stage.send(saveOf(1));
    const [event] = await worker.log.until('cqrs.inbox.dead-lettered');
    expect(event!.error!.message).toBe('The handler answered with 0 outcomes for 1 messages.');
  });

  test('gives each of several handlers its own messages, in order', async () => {
    await using stage = new Stage(memory);
    const accounts = new ScriptedHandler(['account']);
    const invoices = new ScriptedHandler(['invoice']);
    await using worker = await stage.work({ parts: { handlers: [accounts, invoices] }, replica: { batchWaitMs: 100 } });
    await stage.send(...numbers(6).map((id) => saveOf(id, { cqrs_id: id % 2 ? 'account' : 'invoice' })));
    await worker.log.until('cqrs.inbox.applied', 6);
    expect(accounts.batches).toEqual([['1', '3', '5']]);
    expect(invoices.batches).toEqual([['2', '4', '6']]);
  });

  test('stops handling ids that it was told to leave to others', async () => {
    await using stage = new Stage(memory);
    const handler = new ScriptedHandler(['account', 'invoice']);
    await using worker = await stage.work({ handler, parts: { cqrsIds: ['account'] } });
    await stage.send(saveOf(1, { cqrs_id: 'invoice' }));
    expect(await worker.log.until('cqrs.inbox.dead-lettered')).toMatchObject([
      { reason: 'unknown-cqrs-id', cqrsId: 'invoice' },
    ]);
  });

  // claims: payload-limit
  test('puts what is longer than maxPayloadBytes, unread, to the unreadable messages', async () => {
    await using stage = new Stage(memory);
    const its = settingsOrThrow({ queue: stage.queue, exchange: stage.exchange, maxPayloadBytes: 1_024 });
    await using worker = await stage.work({ parts: { settings: its } });
    await stage.send(saveOf('x'.repeat(1_024)), saveOf(2));
    const [event] = await worker.log.until('cqrs.inbox.unreadable');
    expect(event!.reason).toMatch(/it has 3\d\d\d bytes, more than maxPayloadBytes \(1024\)/);
    await worker.log.until('cqrs.inbox.applied');
    expect(worker.handler.applied).toEqual(['2']);
    const letter = await stage.first(`unreadable_${stage.queue}`);
    expect(letter.headers['x-cqrs-reason']).toBe(event!.reason);
    expect(letter.body).toBe(saveOf('x'.repeat(1_024)));
  });
});
