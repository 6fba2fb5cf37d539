import type { ConfirmChannel, Message } from 'amqplib';
import type { PublishResult } from '../../messaging/transport/transport.js';
import { closeChannel, openChannel, type BrokerConnection } from './broker-connection.js';
import { brokerError } from './broker-error.js';
import { Deadline } from './deadline.js';
import { InFlight, type InFlightMessage } from './in-flight.js';
import type { PublishedMessage } from './published-message.js';
import { accusedBy, isOverOneMessage, refusedBecause, refusedByQueue } from './refusals.js';

const PATIENCE_MS = 2_000;

/** The channel was closed over one message, this one or another. */
interface Closed {
  readonly closing: Error;
}

/** What is known of one channel. */
interface Lane {
  readonly inFlight: InFlight;
  /** Why the broker has closed it. */
  closing?: Error;
}

type OpenChannel = (deadline: Deadline) => Promise<ConfirmChannel>;

/**
 * Publishes on a confirm channel of its own, pipelined: all messages are written at once, in order, and answered for
 * one by one. It holds nothing back: what the broker has not confirmed when the channel is lost or the time is over
 * has failed, and the caller decides what to send again.
 *
 *   write all ─▶ answers: confirmed, returned, nacked ─▶ done
 *        └─ channel closed over one of them (too long, forbidden) ─▶ isolate: those that the broker's text names are
 *           refused; if it names none, halves, one after the other, each on a new channel; one alone is refused
 *
 * While messages are isolated, on channels of their own, nothing else is written, and they wait for the calls before
 * them: the order stays. The shared channel is opened by the first message that needs it, and again after it was lost.
 */
export class ConfirmedPublisher {
  #channel?: Promise<ConfirmChannel>;
  readonly #lanes = new WeakMap<ConfirmChannel, Lane>();
  /** Whoever wants to write waits for these. */
  readonly #isolating = new Set<Promise<unknown>>();
  /** Ends with the isolation that came last: there is one at a time. */
  #exclusive: Promise<unknown> = Promise.resolve();
  /** Ends with the call of `publish` that came last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly connection: BrokerConnection,
    /** Makes what must be there before anything is published; called for each new channel. */
    private readonly prepare: (channel: ConfirmChannel) => Promise<void>,
  ) {}

  /** One result a message, in the same order; never rejects. */
  publish(messages: readonly PublishedMessage[], deadline: Deadline): Promise<PublishResult[]> {
    const before = this.#last;
    const publishing = this.#publish(messages, deadline, before);
    this.#last = publishing;
    return publishing;
  }

  /** Publishes one message that is made once its channel is there, e.g. after it has declared where it goes. */
  async publishMade(
    make: (channel: ConfirmChannel) => Promise<PublishedMessage>,
    deadline: Deadline,
  ): Promise<PublishResult> {
    await this.#untilNoneIsolates();
    const result = await this.#publishMade(make, deadline, this.#shared);
    if (!('closing' in result)) return result.result;
    return this.#isolate(Promise.resolve(), async (own) => {
      const alone = await this.#publishMade(make, deadline, own);
      if (!('closing' in alone)) return alone.result;
      return { refused: refusedBecause(this.connection.broker, alone.message, alone.closing) };
    });
  }

  /** Resolves when everything is there that publishing needs; rejects with a TransportError. */
  async prepared(deadline: Deadline): Promise<void> {
    const { broker } = this.connection;
    await deadline.cap(this.#shared(deadline), broker, 'preparing to publish').catch((error: unknown) => {
      throw brokerError(broker, 'preparing to publish', error);
    });
  }

  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (channel) await closeChannel(channel);
  }

  async #publish(
    messages: readonly PublishedMessage[],
    deadline: Deadline,
    before: Promise<unknown>,
  ): Promise<PublishResult[]> {
    const results = await this.#attempt(messages, deadline, this.#shared);
    if (!results.some(isClosed)) return results as PublishResult[];
    return this.#isolate(before, (own) => this.#again(messages, results, { deadline, own, alone: false }));
  }

  /** @param before what has to be answered first */
  #isolate<T>(before: Promise<unknown>, work: (own: OpenChannel) => Promise<T>): Promise<T> {
    let channel: Promise<ConfirmChannel> | undefined;
    const own = (deadline: Deadline): Promise<ConfirmChannel> => {
      const forget = (): void => void (channel = undefined);
      channel ??= this.#whenUp(deadline).then(() => this.#openAndPrepare(forget));
      channel.catch(forget);
      return channel;
    };
    const isolated = before.then(() => {
      const turn = this.#exclusive.then(() => work(own));
      this.#exclusive = turn
        .catch(() => {})
        .then(async () => {
          const last = await channel?.catch(() => undefined);
          if (last) void closeChannel(last);
        });
      return turn;
    });
    const over: Promise<unknown> = isolated.catch(() => {}).then(() => this.#isolating.delete(over));
    this.#isolating.add(over);
    return isolated;
  }

  async #untilNoneIsolates(): Promise<void> {
    while (this.#isolating.size > 0) await Promise.all(this.#isolating);
  }

  /** Finds the refused ones among those whose channel was closed, and sends the others again. */
  async #again(
    messages: readonly PublishedMessage[],
    results: readonly (PublishResult | Closed)[],
    { deadline, own, alone }: { deadline: Deadline; own: OpenChannel; alone: boolean },
  ): Promise<PublishResult[]> {
    const final = [...results] as PublishResult[];
    const closing = results.find(isClosed)?.closing;
    if (!closing) return final;
    const closed = [...results.keys()].filter((index) => isClosed(results[index]!));
    const meant = accusedBy(
      closing,
      closed.map((index) => messages[index]!),
    );
    const refused = new Set(alone ? closed : meant.map((place) => closed[place]!));
    for (const index of refused) {
      final[index] = { refused: refusedBecause(this.connection.broker, messages[index]!, closing) };
    }
    const left = closed.filter((index) => !refused.has(index));
    const middle = refused.size > 0 ? left.length : Math.ceil(left.length / 2);
    for (const part of [left.slice(0, middle), left.slice(middle)]) {
      if (part.length === 0) continue;
      const some = part.map((index) => messages[index]!);
      const sent = await this.#attempt(some, deadline, own);
      const answers = await this.#again(some, sent, { deadline, own, alone: part.length === 1 });
      part.forEach((index, place) => (final[index] = answers[place]!));
    }
    return final;
  }

  async #attempt(
    messages: readonly PublishedMessage[],
    deadline: Deadline,
    open: OpenChannel,
  ): Promise<(PublishResult | Closed)[]> {
    const { broker } = this.connection;
    let channel: ConfirmChannel;
    try {
      channel = await deadline.cap(open(deadline), broker, 'publishing');
    } catch (error) {
      const failed = brokerError(broker, 'publishing', error);
      return messages.map(() => ({ failed }));
    }
    const results: (PublishResult | Closed | undefined)[] = messages.map(() => undefined);
    const confirms = messages.map(async (message, index) => {
      results[index] = await this.#publishOne(channel, message);
    });
    const late = await deadline.cap(Promise.all(confirms), broker, 'confirming').then(
      () => undefined,
      (error: Error) => error,
    );
    return results.map((result) => result ?? { failed: late! });
  }

  async #publishMade(
    make: (channel: ConfirmChannel) => Promise<PublishedMessage>,
    deadline: Deadline,
    open: OpenChannel,
  ): Promise<{ readonly result: PublishResult } | (Closed & { readonly message: PublishedMessage })> {
    const { broker } = this.connection;
    const publish = async () => {
      const channel = await open(deadline);
      const message = await make(channel);
      deadline.check(broker, 'publishing'); // who was told that it failed must not find it sent after all
      const result = await this.#publishOne(channel, message);
      return isClosed(result) ? { ...result, message } : { result };
    };
    return deadline
      .cap(publish(), broker, 'publishing')
      .catch((error) => ({ result: { failed: brokerError(broker, 'publishing', error) } }));
  }

  /** The channel for all that is not isolated. */
  readonly #shared: OpenChannel = async (deadline) => {
    for (;;) {
      await this.#untilNoneIsolates();
      await this.#whenUp(deadline);
      const channel = await (this.#channel ?? this.#open());
      if (this.#isolating.size === 0) return channel;
    }
  };

  /** Outlasts a short break, no more: the caller keeps the messages and has better means to wait for a long one. */
  async #whenUp(deadline: Deadline): Promise<void> {
    const patience = new Deadline(Math.min(PATIENCE_MS, deadline.leftMs));
    // A blocked connection is waited for as well: the broker does not read, and what is written now piles up in memory.
    await patience.cap(this.connection.ready(), this.connection.broker, 'waiting for the connection');
  }

  #open(): Promise<ConfirmChannel> {
    const forget = (): void => {
      if (this.#channel === opening) this.#channel = undefined;
    };
    const opening = this.#openAndPrepare(forget);
    opening.catch(forget);
    return (this.#channel = opening);
  }

  async #openAndPrepare(onClose: () => void): Promise<ConfirmChannel> {
    const model = await this.connection.ready();
    const channel = await openChannel(() => model.createConfirmChannel());
    const lane: Lane = { inFlight: new InFlight() };
    this.#lanes.set(channel, lane);
    channel.on('return', ({ fields, content }: Message) => lane.inFlight.markReturned({ ...fields, body: content }));
    channel.once('error', (error: Error) => (lane.closing = error));
    channel.once('close', onClose);
    try {
      await this.prepare(channel);
      return channel;
    } catch (error) {
      void closeChannel(channel);
      throw error;
    }
  }

  #publishOne(
    channel: ConfirmChannel,
    { exchange, routingKey, body, properties }: PublishedMessage,
  ): Promise<PublishResult | Closed> {
    const lane = this.#lanes.get(channel)!;
    const message: InFlightMessage = { exchange, routingKey, body, returned: false };
    const { broker } = this.connection;
    return new Promise((resolve) => {
      const failed = (error: unknown): void => {
        if (lane.closing && isOverOneMessage(lane.closing)) resolve({ closing: lane.closing });
        else resolve({ failed: brokerError(broker, 'publishing', lane.closing ?? error) });
      };
      lane.inFlight.add(message);
      try {
        channel.publish(exchange, routingKey, body, properties, (error: Error | null) => {
          lane.inFlight.remove(message);
          if (!error) resolve(message.returned ? 'unroutable' : 'confirmed');
          else if (error.message === 'message nacked') resolve({ refused: refusedByQueue(broker, message) });
          else failed(error);
        });
      } catch (error) {
        lane.inFlight.remove(message);
        failed(error);
      }
    });
  }
}

function isClosed(result: PublishResult | Closed): result is Closed {
  return typeof result === 'object' && 'closing' in result;
}
