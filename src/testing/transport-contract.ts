import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { TransportError } from '../core/errors.js';
import { Events, type CqrsEvents } from '../core/events.js';
import { Header } from '../core/headers.js';
import type { ConsumeOptions, Delivery, OutgoingMessage, QueueState, Subscription, Transport } from '../transport/transport.js';

/**
 * What every transport promises, as named cases that need no test framework:
 *
 *   for (const { name, run } of transportContract(() => harness)) test(name, run);
 *
 * Each case uses an exchange and queues of its own and takes a few seconds at most.
 */
export function transportContract(makeHarness: () => TransportHarness): readonly TransportContractCase[] {
  return CASES.map(([name, run]) => ({
    name,
    run: async () => {
      await using bench = new Bench(makeHarness());
      await run(bench);
    },
  }));
}

export interface TransportContractCase {
  /** A promise of the contract, readable as a sentence. */
  readonly name: string;
  /** Rejects with an AssertionError when the promise is not kept. */
  readonly run: () => Promise<void>;
}

/** What the author of a transport brings along; made once a case. */
export interface TransportHarness {
  /** Another participant, not yet connected, of the same broker. */
  transport(): Transport;
  /** Removes from the broker what the case made; called last, when all participants are closed. */
  cleanUp?(made: { readonly exchange: string; readonly queues: readonly string[] }): Promise<void>;
}

const ID = 'billing.invoice';
const OTHER_ID = 'billing.payment';
const DEADLINE_MS = 10_000;

const CASES: readonly (readonly [name: string, run: (bench: Bench) => Promise<void>])[] = [
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
      assert.deepEqual(bodies.sort(), ['a', 'b']);
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
    'ack: the message is gone',
    async (bench) => {
      const { transport } = await bench.join();
      const inbox = await bench.consume(transport, { prefetch: 1_000 });
      await bench.confirmed(transport, ...Array.from({ length: 300 }, (_, index) => message(String(index))));
      const deliveries = await inbox.take(300);
      const kept = deliveries.filter((_, index) => index % 100 === 50);
      // Out of order, since handlers finish when they finish.
      await Promise.all(deliveries.filter((delivery) => !kept.includes(delivery)).reverse().map((delivery) => delivery.ack()));
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
      assert.partialDeepStrictEqual(unreadable.headers, { [Header.reason]: 'the body is not JSON', [Header.committedAt]: 5 });
      assert.equal((await bench.state(transport, inbox.options.deadLetterQueue)).messages, 0);
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
];

/** The participants, names and inboxes of one case; everything ends with it. */
class Bench {
  readonly #exchange = unique('exchange');
  readonly #queues: string[] = [];
  readonly #transports: Transport[] = [];

  constructor(private readonly harness: TransportHarness) {}

  queueName(): string {
    const name = unique('queue');
    this.#queues.push(name);
    return name;
  }

  async join({ connect = true } = {}): Promise<{ transport: Transport; events: Events }> {
    const transport = this.harness.transport();
    const events = new Events();
    this.#transports.push(transport);
    if (connect) await this.connect(transport, events);
    return { transport, events };
  }

  connect(transport: Transport, events: Events): Promise<void> {
    return transport.connect({ events, exchange: this.#exchange, publishTimeoutMs: DEADLINE_MS });
  }

  async consume(transport: Transport, given: Partial<ConsumeOptions> = {}): Promise<Inbox> {
    const options: ConsumeOptions = {
      queue: given.queue ?? this.queueName(),
      deadLetterQueue: this.queueName(),
      unreadableQueue: this.queueName(),
      cqrsIds: [ID],
      prefetch: 100,
      deadLetterTtlMs: null,
      ...given,
    };
    const inbox = new Inbox(options);
    inbox.subscription = await transport.consume(options, inbox.accept);
    return inbox;
  }

  /** Reads a queue without binding anything to it. */
  read(transport: Transport, queue: string): Promise<Inbox> {
    return this.consume(transport, { queue, cqrsIds: [] });
  }

  async confirmed(transport: Transport, ...messages: OutgoingMessage[]): Promise<void> {
    const results = await transport.publish(messages);
    assert.deepEqual(results, messages.map(() => 'confirmed'));
  }

  async state(transport: Transport, queue: string): Promise<QueueState> {
    const state = await transport.inspect(queue);
    assert.ok(state, `the queue ${queue} should exist`);
    return state;
  }

  /** Looks until the queue is as expected: brokers count a moment after they have answered. */
  async eventually(transport: Transport, queue: string, expected: (state: QueueState) => boolean): Promise<void> {
    for (const deadline = Date.now() + DEADLINE_MS; ; ) {
      const state = await this.state(transport, queue);
      if (expected(state)) return;
      if (Date.now() > deadline) assert.fail(`the queue never became as expected; last seen: ${JSON.stringify(state)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
    await this.harness.cleanUp?.({ exchange: this.#exchange, queues: this.#queues });
  }
}

/** Deliveries in the order they came, for whoever waits for them. */
class Inbox {
  subscription!: Subscription;
  readonly #deliveries: Delivery[] = [];
  #arrived?: () => void;

  constructor(readonly options: ConsumeOptions) {}

  get queue(): string {
    return this.options.queue;
  }

  /** How many have come and were not taken. */
  get waiting(): number {
    return this.#deliveries.length;
  }

  readonly accept = (delivery: Delivery): void => {
    this.#deliveries.push(delivery);
    this.#arrived?.();
  };

  async take(count: number): Promise<Delivery[]> {
    const deadline = AbortSignal.timeout(DEADLINE_MS);
    while (this.#deliveries.length < count) {
      await new Promise<void>((resolve, reject) => {
        this.#arrived = resolve;
        deadline.onabort = () =>
          reject(new assert.AssertionError({ message: `expected ${count} deliveries, got ${this.#deliveries.length}` }));
      });
    }
    deadline.onabort = null;
    return this.#deliveries.splice(0, count);
  }

  async next(): Promise<Delivery> {
    return (await this.take(1))[0]!;
  }

  async bodies(count: number): Promise<string[]> {
    return (await this.take(count)).map(text);
  }
}

function message(body: string, { cqrsId = ID, queue = null }: { cqrsId?: string; queue?: string | null } = {}): OutgoingMessage {
  return { route: { cqrsId, queue }, body };
}

function text(delivery: Delivery): string {
  return new TextDecoder().decode(delivery.body);
}

function unique(kind: string): string {
  return `contract_${kind}_${randomBytes(5).toString('hex')}`;
}

async function assertFailed(transport: Transport, count: number): Promise<void> {
  const results = await transport.publish(Array.from({ length: count }, () => message('a')));
  assert.equal(results.length, count);
  for (const result of results) assert.ok(typeof result === 'object' && result.failed instanceof Error);
}
