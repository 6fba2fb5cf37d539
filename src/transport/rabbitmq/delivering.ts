import type { Channel } from 'amqplib';
import type { Events } from '../../core/events.js';
import type { ConsumeOptions, Delivery } from '../transport.js';
import { RabbitMQDelivery } from './rabbitmq-delivery.js';
import type { SubscriptionPlan } from './rabbitmq-subscription.js';
import type { Settler } from './settler.js';
import { directKey, type Topology } from './topology.js';

/** How a subscription hands out the messages of a queue. */
export function delivering(
  options: ConsumeOptions,
  onDelivery: (delivery: Delivery) => void,
  parts: {
    readonly topology: Topology;
    readonly settler: Settler;
    readonly events: Events;
    readonly prefetch: number;
  },
): SubscriptionPlan {
  const { topology, settler, events, prefetch } = parts;
  const { queue, deadLetterQueue, unreadableQueue, cqrsIds } = options;
  const shared = { settler, events, options, directPrefix: directKey(queue, null) };
  const bindAll = async (channel: Channel): Promise<void> => {
    for (const cqrsId of cqrsIds) {
      await topology.bindBroadcast(channel, queue, cqrsId);
      await topology.bindDirect(channel, queue, cqrsId);
      await topology.bindDirect(channel, deadLetterQueue, cqrsId);
    }
  };
  return {
    queue,
    prefetch,
    async declare(channel, existed) {
      await topology.declareExchange(channel);
      for (const name of [queue, deadLetterQueue, unreadableQueue]) await topology.declareQueue(channel, name);
      await bindAll(channel);
      if (!existed) events.emit('cqrs.inbox.gap', { queue, missing: 'queue', cqrsIds });
    },
    async verify(channel, connection) {
      const existed = await connection.hasExchange(topology.exchange);
      await topology.declareExchange(channel);
      await bindAll(channel);
      if (!existed) events.emit('cqrs.inbox.gap', { queue, missing: 'binding', cqrsIds });
    },
    onMessage: (message, channel) => onDelivery(new RabbitMQDelivery(message, channel, shared)),
  };
}
