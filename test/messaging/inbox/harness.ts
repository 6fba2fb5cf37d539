import { Events, type CqrsEventName, type CqrsEvents } from '../../../src/kernel/events.js';
import { stringifyJson } from '../../../src/wire/values.js';
import { settingsOrThrow, type SettingsInput } from '../../../src/kernel/settings.js';
import { Consumer, type ConsumerParts } from '../../../src/messaging/inbox/consumer.js';
import type { Handler, Outcome, Received, RetryRules } from '../../../src/messaging/inbox/handler.js';
import { MemoryBroker, MemoryTransport } from '../../../src/messaging/transport/memory.js';
import type { Delivery, Transport } from '../../../src/messaging/transport/transport.js';
import { uniqueName } from '../../support/broker.js';

/** A broker that the stories are told on: every participant gets a transport of its own. */
export interface TestBroker {
  readonly name: string;
  make(): BrokerOfOneStage;
}

interface BrokerOfOneStage {
  join(): Transport;
  /** Removes what was made on a broker that others use, too. */
  clear?(exchange: string, queues: readonly string[]): Promise<void>;
}

export const memory: TestBroker = {
  name: 'memory',
  make: () => {
    const broker = new MemoryBroker();
    return { join: () => new MemoryTransport(broker) };
  },
};

/** What the handler is told to do with a message; undefined = apply it. */
export type Script = (message: Received) => Outcome | undefined;

/** Does as it is told, and remembers what it was given. A script that throws rejects the whole batch. */
export class ScriptedHandler implements Handler {
  /** Every batch it was handed, as the keys of its messages. */
  readonly batches: string[][] = [];
  /** Every message it was handed. */
  readonly seen: Received[] = [];
  /** Keys of the messages it has applied. */
  readonly applied: string[] = [];
  script: Script = () => undefined;
  /** Awaited before each batch. */
  gate: Promise<void> = Promise.resolve();
  rules: RetryRules | undefined;
  /** The most messages it takes at once. */
  most = Infinity;
  #busy = 0;
  overlapped = false;

  constructor(readonly cqrsIds: readonly string[] = ['account']) {}

  async handle(batch: readonly Received[]): Promise<readonly Outcome[]> {
    this.#busy++;
    if (this.#busy > 1) this.overlapped = true;
    try {
      this.batches.push(batch.map(keyOf));
      this.seen.push(...batch);
      await this.gate;
      const outcomes = batch.map(
        (message): Outcome =>
          this.script(message) ?? { kind: 'applied', action: 'update', version: message.payload.version },
      );
      this.applied.push(...batch.filter((_, index) => outcomes[index]!.kind === 'applied').map(keyOf));
      return outcomes;
    } finally {
      this.#busy--;
    }
  }

  atOnce(): number {
    return this.most;
  }

  retryRules(): RetryRules | undefined {
    return this.rules;
  }
}

export function keyOf(message: Received): string {
  return String(message.payload.instancePk);
}

/** Remembers all events, so that a test can wait for one without being too late. */
export class EventLog {
  readonly all: { name: CqrsEventName; fields: object }[] = [];
  #wake: () => void = () => {};

  constructor(events: Events) {
    events.onAny((name, fields) => {
      this.all.push({ name, fields });
      this.#wake();
    });
  }

  of<N extends CqrsEventName>(name: N): CqrsEvents[N][] {
    return this.all.filter((event) => event.name === name).map((event) => event.fields as CqrsEvents[N]);
  }

  /** Resolves with the first `count` events of that name once there are so many, now or later. */
  async until<N extends CqrsEventName>(name: N, count = 1): Promise<CqrsEvents[N][]> {
    while (this.of(name).length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.of(name).slice(0, count);
  }
}

export interface Worker extends AsyncDisposable {
  readonly consumer: Consumer;
  readonly handler: ScriptedHandler;
  readonly log: EventLog;
  readonly transport: Transport;
  /** Gone without a word, as a process that is killed. */
  die(): Promise<void>;
}

export interface RawMessage {
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly json: Record<string, unknown> & { meta: Record<string, Record<string, unknown>> };
}

/** One queue on one broker: workers come and go, messages are sent to it, and what became of them can be looked at. */
export class Stage implements AsyncDisposable {
  readonly exchange = uniqueName('exchange');
  readonly queue = uniqueName('queue');
  readonly #broker: BrokerOfOneStage;
  readonly #toClose: Transport[] = [];
  #sender: Promise<Transport> | undefined;

  constructor(broker: TestBroker) {
    this.#broker = broker.make();
  }

  /** A transport of its own for whoever asks. */
  async join(events = new Events()): Promise<Transport> {
    const transport = this.#broker.join();
    this.#toClose.push(transport);
    await transport.connect({ events, exchange: this.exchange, publishTimeoutMs: 10_000 });
    return transport;
  }

  /** A running worker. By default failed messages come back after 20 ms and batches are small. */
  async work({
    replica = {},
    handler = new ScriptedHandler(),
    parts = {},
  }: {
    replica?: SettingsInput['replica'];
    handler?: ScriptedHandler;
    parts?: Partial<ConsumerParts>;
  } = {}): Promise<Worker> {
    const events = new Events();
    const log = new EventLog(events);
    const transport = await this.join(events);
    const settings = settingsOrThrow({
      queue: this.queue,
      exchange: this.exchange,
      replica: { retryDelaySeconds: 0.02, ...replica },
    });
    const consumer = new Consumer({ transport, handlers: [handler], settings, events, ...parts });
    await consumer.start();
    const stop = async (): Promise<void> => {
      await consumer.stop();
      await transport.close();
    };
    return { consumer, handler, log, transport, die: () => transport.close(), [Symbol.asyncDispose]: stop };
  }

  /** Sends bodies to the replicas of `account`, in one go. */
  async send(...bodies: string[]): Promise<void> {
    await this.sendWith({}, ...bodies);
  }

  async sendWith(headers: Record<string, string | number>, ...bodies: string[]): Promise<void> {
    const sender = await (this.#sender ??= this.join());
    const results = await sender.publish(
      bodies.map((body) => ({ route: { cqrsId: 'account', queue: null }, body, headers })),
    );
    if (results.some((result) => result !== 'confirmed'))
      throw new Error(`not sent: ${results.map(String).join(', ')}`);
  }

  /** The first message of a queue, taken out of it. */
  async first(queue: string): Promise<RawMessage> {
    const transport = await this.join();
    const delivery = await new Promise<Delivery>((resolve, reject) => {
      transport
        .consume(
          {
            queue,
            deadLetterQueue: `${this.queue}.none`,
            unreadableQueue: `${this.queue}.none`,
            cqrsIds: [],
            prefetch: 1,
            deadLetterTtlMs: null,
          },
          resolve,
        )
        .catch(reject);
    });
    await delivery.ack();
    await transport.close();
    const body = new TextDecoder().decode(delivery.body);
    return { body, headers: delivery.headers, json: body.startsWith('{') ? tryParse(body) : {} } as RawMessage;
  }

  firstDeadLetter(): Promise<RawMessage> {
    return this.first(`dead_letter_${this.queue}`);
  }

  /** How many messages wait in a queue. */
  async depth(queue = this.queue): Promise<number | undefined> {
    const transport = await (this.#sender ??= this.join());
    return (await transport.inspect(queue))?.messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const transport of this.#toClose) await transport.close();
    const { queue } = this;
    await this.#broker.clear?.(this.exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`, `${queue}.none`]);
  }
}

/** The body of a SAVE of account `id`; `over` replaces top-level keys, undefined removes them. */
export function saveOf(id: string | number, over: Record<string, unknown> = {}): string {
  return stringifyJson({
    signal_type: 'SAVE',
    cqrs_id: 'account',
    instance_data: { id, name: `account ${id}`, cqrs_revision: 0, cqrs_updated: '2026-11-21 12:00:00.123456+00:00' },
    previous_data: null,
    instance_pk: id,
    correlation_id: null,
    retries: 0,
    expires: null,
    meta: {},
    ...over,
  });
}

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** A promise and the way to fulfil it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
