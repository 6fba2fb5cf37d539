import type { ConsumeMessage } from 'amqplib';
import type { Respond } from '../../messaging/transport/transport.js';
import type { ConfirmedPublisher } from './confirmed-publisher.js';
import type { ConsumerChannel } from './consumer-channel.js';
import { Deadline } from './deadline.js';
import type { SubscriptionPlan } from './rabbitmq-subscription.js';
import { questionQueue, type Topology } from './topology.js';

/** How many questions one answerer works on at a time. */
const PREFETCH = 2;

/**
 * How a subscription answers the questions put to a queue. A question is acknowledged when its answer is on the way: if
 * we are gone before, the broker gives it to somebody else.
 */
export function answering(
  queue: string,
  respond: Respond,
  {
    topology,
    publisher,
    timeoutMs,
  }: { readonly topology: Topology; readonly publisher: ConfirmedPublisher; readonly timeoutMs: number },
): SubscriptionPlan {
  const inHand = new Set<Promise<void>>();

  const answer = async ({ content, fields, properties }: ConsumeMessage, channel: ConsumerChannel): Promise<void> => {
    const { replyTo, correlationId } = properties as { replyTo?: string; correlationId?: string };
    try {
      if (!replyTo) return;
      const body = Buffer.from(await respond(content));
      // Not mandatory: a direct reply reaches no queue, so the broker would send it back although it has arrived.
      const answered = { contentType: 'application/json', ...(correlationId ? { correlationId } : {}) };
      await publisher.publish(
        [{ exchange: '', routingKey: replyTo, body, properties: answered }],
        new Deadline(timeoutMs),
      );
    } catch {
      // Its asker waits until the time is over; `respond` has said what is to be said.
    } finally {
      await channel.ack(fields.deliveryTag);
    }
  };

  return {
    queue: questionQueue(queue),
    prefetch: PREFETCH,
    declare: (channel) => topology.declareQuestions(channel, queue),
    onMessage: (message, channel) => {
      const work = answer(message, channel).finally(() => inHand.delete(work));
      inHand.add(work);
    },
    idle: async () => {
      await Promise.all(inHand);
    },
  };
}
