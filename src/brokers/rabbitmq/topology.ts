import type { Channel } from 'amqplib';
import type { Route } from '../../messaging/transport/transport.js';
import type { QueueType } from './options.js';

/**
 * Every name and every declaration there is on the broker: exchange, queues, routing keys. Nothing else spells them.
 *
 *   exchange (topic) ──ID──────────▶ Q          to all replicas
 *                    ──cqrs.Q.ID───▶ Q          to this replica alone
 *                    ──cqrs.DLQ.ID─▶ DLQ        its dead letters
 *   default exchange ──────────────▶ unreadable bodies, which have no id
 *                    ──────────────▶ Q.questions, which is there as long as somebody answers for Q
 *   Q.delay.<ms> (fanout) ─▶ Q.delay.<ms> ──after <ms>──▶ exchange, under the key it came with: cqrs.Q.ID
 *
 * The first three are shared with django-cqrs to the letter; the others are ours alone.
 */
export class Topology {
  constructor(
    readonly exchange: string,
    private readonly queueType: QueueType,
  ) {}

  /** The only thing a publisher needs: queues belong to those who read them. Who may not make it finds it made by others. */
  async ensureExchange(connection: Ensuring): Promise<void> {
    await connection.ensure(
      (channel) => channel.assertExchange(this.exchange, 'topic', { durable: true }),
      (channel) => channel.checkExchange(this.exchange),
    );
  }

  /** Whether the broker keeps what it would drop of a work queue, in its dead letters. */
  get keepsDropped(): boolean {
    return this.queueType === 'quorum';
  }

  /**
   * The queue of a replica. What the broker itself takes out of a quorum queue (delivered too often, too old, one too many,
   * by a policy of somebody's) goes to the dead letters. A classic one has no arguments, as Python declares it.
   */
  async declareWorkQueue(channel: Channel, queue: string, deadLetterQueue: string): Promise<void> {
    const kept = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': deadLetterQueue };
    const args = { ...this.#queueArguments(), ...(this.keepsDropped ? kept : {}) };
    await channel.assertQueue(queue, { durable: true, arguments: args });
  }

  async declareQueue(channel: Channel, queue: string): Promise<void> {
    await channel.assertQueue(queue, { durable: true, arguments: this.#queueArguments() });
  }

  async bindBroadcast(channel: Channel, queue: string, cqrsId: string): Promise<void> {
    await channel.bindQueue(queue, this.exchange, cqrsId);
  }

  async bindDirect(channel: Channel, queue: string, cqrsId: string | null): Promise<void> {
    await channel.bindQueue(queue, this.exchange, directKey(queue, cqrsId));
  }

  /**
   * Where a message waits before it goes back to the queue. One waiting room a delay, since a queue lets go of
   * messages only at its head: a long wait there would hold up the short ones behind it. Its own exchange keeps the
   * routing key, under which the message later returns.
   *
   * A waiting room that is not declared again for a while vanishes, full or empty. `leaseMs` says how long one
   * declaration is good for: whatever is put in until then comes back in time.
   */
  async declareDelay(channel: Channel, queue: string, delayMs: number): Promise<{ exchange: string; leaseMs: number }> {
    const name = `${queue}.delay.${delayMs}`;
    await channel.assertExchange(name, 'fanout', { durable: true, autoDelete: true });
    await channel.assertQueue(name, {
      durable: true,
      arguments: {
        ...this.#delayArguments(),
        'x-message-ttl': delayMs,
        'x-dead-letter-exchange': this.exchange,
        'x-expires': delayMs + 2 * DELAY_LEASE_MS,
      },
    });
    await channel.bindQueue(name, name, '');
    return { exchange: name, leaseMs: DELAY_LEASE_MS };
  }

  /**
   * Where questions to the services behind a queue wait, while there is somebody to answer. It goes with the last
   * answerer, so that a question to nobody comes back at once; after a crash of the broker, soon after.
   */
  async declareQuestions(channel: Channel, queue: string): Promise<void> {
    await channel.assertQueue(questionQueue(queue), {
      durable: true,
      autoDelete: true,
      arguments: { 'x-queue-type': 'classic', 'x-expires': QUESTIONS_UNUSED_MS },
    });
  }

  #queueArguments(): Record<string, unknown> {
    if (this.queueType === 'classic') return {};
    // From RabbitMQ 4 on a quorum queue throws a message away after 20 deliveries unless told otherwise. How often a
    // message is tried is ours to decide, and a consumer that crashes often must lose nothing.
    return { 'x-queue-type': 'quorum', 'x-delivery-limit': ENOUGH_DELIVERIES };
  }

  #delayArguments(): Record<string, unknown> {
    if (this.queueType === 'classic') return {};
    // The move back to the work queue is confirmed inside the broker; without it a node that fails at that moment
    // loses the message. RabbitMQ wants reject-publish with it.
    return { 'x-queue-type': 'quorum', 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };
  }
}

/** Nothing is delivered so often. */
export const ENOUGH_DELIVERIES = 1_000_000;

/** Makes something, or finds it made where it may not. */
interface Ensuring {
  ensure(
    declare: (channel: Channel) => Promise<unknown>,
    check: (channel: Channel) => Promise<unknown>,
  ): Promise<boolean>;
}

// A part of the declaration: RabbitMQ refuses to declare a waiting room that exists with another value.
const DELAY_LEASE_MS = 300_000;
/** The longest wait that RabbitMQ takes, less the lease: about 49 days. */
export const MAX_DELAY_MS = 2 ** 32 - 1 - 2 * DELAY_LEASE_MS;

const QUESTIONS_UNUSED_MS = 60_000;

const MAX_KEY_BYTES = 255;

export function questionQueue(queue: string): string {
  return `${queue}.questions`;
}

export function routingKey({ cqrsId, queue }: Route): string {
  return queue === null ? cqrsId : directKey(queue, cqrsId);
}

/**
 * The key that reaches one queue alone. Without an id (the message came by another way), or with one so long that the
 * key would break AMQP's limit, it ends with the dot and still reaches the queue.
 */
export function directKey(queue: string, cqrsId: string | null): string {
  const key = `cqrs.${queue}.${cqrsId ?? ''}`;
  return Buffer.byteLength(key) <= MAX_KEY_BYTES ? key : `cqrs.${queue}.`;
}

/**
 * What a delivery's address says: which id, and whether it was meant for this queue alone.
 * @param prefix what keys of this queue alone begin with: `directKey(queue, null)`.
 */
export function readAddress(
  fields: { exchange: string; routingKey: string },
  prefix: string,
): { cqrsId: string | null; direct: boolean } {
  // The default exchange addresses queues: its key is the queue's name, not an id.
  if (fields.exchange === '') return { cqrsId: null, direct: true };
  const direct = fields.routingKey.startsWith(prefix);
  const cqrsId = direct ? fields.routingKey.slice(prefix.length) : fields.routingKey;
  return { cqrsId: cqrsId || null, direct };
}
