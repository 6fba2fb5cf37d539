import type { Channel, ConsumeMessage } from 'amqplib';
import type { Events } from '../../kernel/events.js';
import { pause } from '../../kernel/service.js';
import { retrying } from '../../kernel/retrying.js';
import type { Subscription } from '../../messaging/transport/transport.js';
import { closeChannel, openChannel, type BrokerConnection } from './broker-connection.js';
import { brokerError, brokerText, replyCode } from './broker-error.js';
import { ConsumerChannel } from './consumer-channel.js';

interface SubscriptionParts {
  readonly connection: BrokerConnection;
  readonly events: Events;
  /** How often what was declared is declared again. */
  readonly verifyMs: number;
}

/** What a subscription reads, and what becomes of it. */
export interface SubscriptionPlan {
  readonly queue: string;
  /** The most messages in hand. */
  readonly prefetch: number;
  /** Makes the queue and whatever else is needed; `existed`: whether it was there. */
  declare(channel: Channel, existed: boolean, connection: BrokerConnection): Promise<void>;
  /** Makes again what may have been removed while messages are delivered. */
  verify?(channel: Channel, connection: BrokerConnection): Promise<void>;
  onMessage(message: ConsumeMessage, channel: ConsumerChannel): void;
  /** Resolves when nothing is in hand that has to be finished before a cancel is complete. */
  idle?(): Promise<void>;
}

/**
 * One consumer that keeps itself going.
 *
 *   start ─▶ setting up ─▶ delivering ──connection or channel lost, queue deleted──▶ backing off ─▶ setting up
 *              │ fails: rejects   │
 *              ▼                  └──cancel──▶ settling only ──close──▶ over
 *            over
 *
 * Whatever is declared is declared again on every set-up, since a broker may come back empty; and now and then while it
 * delivers, since an exchange or a binding can be removed without a word to those who listen.
 */
export class RabbitMQSubscription implements Subscription {
  readonly #ended = new AbortController();
  #channel?: ConsumerChannel;

  private constructor(
    private readonly plan: SubscriptionPlan,
    private readonly parts: SubscriptionParts,
  ) {}

  /** Rejects with a TransportError when the first set-up fails; later ones are repeated until they succeed. */
  static async start(plan: SubscriptionPlan, parts: SubscriptionParts): Promise<RabbitMQSubscription> {
    const subscription = new RabbitMQSubscription(plan, parts);
    try {
      await subscription.#setUp();
      if (plan.verify) void subscription.#verifyNowAndThen();
      return subscription;
    } catch (error) {
      await subscription.close();
      throw error;
    }
  }

  async cancel(): Promise<void> {
    this.#ended.abort();
    await this.#channel?.cancel();
    await this.plan.idle?.();
  }

  /** Gives back what is unsettled. */
  async close(): Promise<void> {
    this.#ended.abort();
    await this.#channel?.close();
  }

  async #setUp(): Promise<void> {
    const { connection } = this.parts;
    const { queue, prefetch } = this.plan;
    try {
      // Only the queue can be looked for. AMQP has no question for a binding, and a probe would reach other consumers;
      // so a binding that was missing on a queue that exists is made without a word.
      const existed = (await connection.findQueue(queue)) !== undefined;
      const model = await connection.ready({ orBlocked: true });
      const amqp = await openChannel(() => model.createChannel());
      const channel = (this.#channel = new ConsumerChannel(amqp));
      amqp.once('close', () => this.#onLost(channel));

      await this.plan.declare(amqp, existed, connection);
      await channel.consume(queue, prefetch, (message) => this.#onMessage(channel, message));
      if (this.#ended.signal.aborted) await channel.cancel();
    } catch (error) {
      throw brokerError(connection.broker, `consuming '${queue}'`, error);
    }
  }

  async #verifyNowAndThen(): Promise<void> {
    const { signal } = this.#ended;
    const { connection, events, verifyMs } = this.parts;
    let said = '';
    for (;;) {
      await pause(verifyMs, signal);
      if (signal.aborted || connection.ended) return;
      if (!this.#channel?.alive) continue; // it is set up anew
      try {
        const model = await connection.ready({ orBlocked: true });
        const amqp = await openChannel(() => model.createChannel());
        await this.plan.verify!(amqp, connection);
        void closeChannel(amqp);
        said = '';
      } catch (error) {
        // A lost connection has its own events. A refusal stops nobody who listens.
        if (replyCode(error) === undefined || said === String(error)) continue;
        said = String(error);
        const what = `cannot be verified: ${brokerText(error)}.`;
        const cure = 'If bindings are removed while the worker listens, it will not notice.';
        events.emit('cqrs.replica.warned', { where: `the queue ${this.plan.queue}`, what, cure });
      }
    }
  }

  #onMessage(channel: ConsumerChannel, message: ConsumeMessage | null): void {
    // RabbitMQ cancels a consumer whose queue was deleted; the channel stays, but is of no more use.
    if (message === null) return void channel.close(new Error('The queue was deleted.'));
    if (this.#ended.signal.aborted) return channel.giveBack(message);
    try {
      this.plan.onMessage(message, channel);
    } catch (error) {
      // Thrown here it would end the connection; it is a bug of the listener and reported as one.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** Only a channel that had begun to deliver is replaced; a set-up that fails is reported by its own error. */
  #onLost(channel: ConsumerChannel): void {
    if (channel.consumed && channel === this.#channel && !this.#ended.signal.aborted)
      void this.#resume(channel.failure);
  }

  async #resume(failure: Error | undefined): Promise<void> {
    const { signal } = this.#ended;
    const { connection, events } = this.parts;
    await retrying(
      async (failures) => {
        if (failures === 0 && failure) throw failure;
        try {
          await connection.ready({ orBlocked: true });
          if (!signal.aborted) await this.#setUp();
        } catch (error) {
          if (connection.ended) return;
          throw error;
        }
        if (!signal.aborted)
          events.emit('cqrs.inbox.recovered', { queue: this.plan.queue, failures: Math.max(1, failures) });
      },
      {
        signal,
        base: 200,
        onFailure: (error, retryInMs) => {
          events.emit('cqrs.inbox.failed', { queue: this.plan.queue, error: error as Error, retryInMs });
        },
      },
    );
  }
}
