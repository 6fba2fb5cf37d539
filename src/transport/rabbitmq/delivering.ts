import type { Channel } from 'amqplib';
import type { CqrsEvents, Events } from '../../core/events.js';
import type { ConsumeOptions, Delivery } from '../transport.js';
import type { BrokerConnection } from './broker-connection.js';
import { keepingPolicy } from './queue-policies.js';
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
  let warned = false;
  const declareWorkQueue = async (channel: Channel, existed: boolean, connection: BrokerConnection): Promise<void> => {
    const declare = (on: Channel): Promise<void> => topology.declareWorkQueue(on, queue, deadLetterQueue);
    if (!existed || !topology.keepsDropped || (await connection.accepts(declare))) return declare(channel);
    // An earlier release made it, or other settings did, and the arguments of a queue cannot be changed.
    const former = await connection.accepts((on) => topology.declareQueue(on, queue));
    if (!former) await channel.checkQueue(queue);
    if (!warned) events.emit('cqrs.replica.warned', lacksDeadLetters(queue, deadLetterQueue));
    warned = true;
  };
  return {
    queue,
    prefetch,
    async declare(channel, existed, connection) {
      await topology.declareExchange(channel);
      for (const name of [deadLetterQueue, unreadableQueue]) await topology.declareQueue(channel, name);
      await declareWorkQueue(channel, existed, connection);
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

function lacksDeadLetters(queue: string, deadLetterQueue: string): CqrsEvents['cqrs.replica.warned'] {
  return {
    where: `the queue ${queue}`,
    what: 'was made without a dead-letter exchange, or with another: without a policy, what the broker drops of it is lost or goes elsewhere.',
    cure: `Unless there is one: ${keepingPolicy(queue, deadLetterQueue)}`,
  };
}
