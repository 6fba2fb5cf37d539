import type { Channel } from 'amqplib';
import type { CqrsEvents, Events } from '../../kernel/events.js';
import type { ConsumeOptions, Delivery } from '../../messaging/transport/transport.js';
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
    /** The keys under which the queue is bound, where the broker can be asked. */
    readonly bindings: () => Promise<ReadonlySet<string> | undefined>;
  },
): SubscriptionPlan {
  const { topology, settler, events, prefetch } = parts;
  const { queue, deadLetterQueue, unreadableQueue, cqrsIds } = options;
  const shared = { settler, events, options, directPrefix: directKey(queue, null) };
  const ownQueues = [deadLetterQueue, unreadableQueue];
  /** What the user may not make, but finds made. */
  const foreign = new Set<string>();
  const bindAll = async (channel: Channel, connection: BrokerConnection): Promise<void> => {
    if (foreign.has('bindings')) return;
    const [first = queue] = cqrsIds;
    const may = await connection.ensure(
      (own) => topology.bindBroadcast(own, queue, first),
      (own) => own.checkQueue(queue),
    );
    if (!may) return void foreign.add('bindings');
    for (const cqrsId of cqrsIds) {
      await topology.bindBroadcast(channel, queue, cqrsId);
      await topology.bindDirect(channel, queue, cqrsId);
      if (!foreign.has(deadLetterQueue)) await topology.bindDirect(channel, deadLetterQueue, cqrsId);
    }
  };
  const ensureQueue = async (name: string, connection: BrokerConnection): Promise<void> => {
    const declare = (own: Channel): Promise<void> => topology.declareQueue(own, name);
    if (!(await connection.ensure(declare, (own) => own.checkQueue(name)))) foreign.add(name);
  };
  let warned = false;
  const declareWorkQueue = async (channel: Channel, existed: boolean, connection: BrokerConnection): Promise<void> => {
    const declare = (on: Channel): Promise<void> => topology.declareWorkQueue(on, queue, deadLetterQueue);
    if (existed && !(await connection.mayMake(declare))) return void foreign.add(queue);
    if (!existed || !topology.keepsDropped || (await connection.accepts(declare))) return declare(channel);
    // An earlier release made it, or other settings did, and the arguments of a queue cannot be changed.
    const former = await connection.accepts((on) => topology.declareQueue(on, queue));
    if (!former) await channel.checkQueue(queue);
    if (!warned) events.emit('cqrs.replica.warned', lacksDeadLetters(queue, deadLetterQueue));
    warned = true;
  };
  /** The ids whose changes do not come: others took a binding away, and AMQP has no question for that. */
  let silent = false;
  const lostBindings = async (): Promise<readonly string[]> => {
    try {
      const bound = await parts.bindings();
      silent = false;
      return bound === undefined ? [] : cqrsIds.filter((cqrsId) => !bound.has(cqrsId));
    } catch (error) {
      if (!silent) events.emit('cqrs.replica.warned', cannotLook(queue, error as Error));
      silent = true;
      return [];
    }
  };
  let told = '';
  const tellForeign = (): void => {
    const names = [...foreign].toSorted().join(', ');
    if (names !== '' && names !== told) events.emit('cqrs.replica.warned', notOurs(queue, names));
    told = names;
  };
  return {
    queue,
    prefetch,
    async declare(channel, existed, connection) {
      foreign.clear();
      await topology.ensureExchange(connection);
      for (const name of ownQueues) await ensureQueue(name, connection);
      await declareWorkQueue(channel, existed, connection);
      const lost = existed ? await lostBindings() : [];
      await bindAll(channel, connection);
      tellForeign();
      if (!existed) events.emit('cqrs.inbox.gap', { queue, missing: 'queue', cqrsIds });
      else if (lost.length > 0) events.emit('cqrs.inbox.gap', { queue, missing: 'binding', cqrsIds: lost });
    },
    async verify(channel, connection) {
      const existed = await connection.hasExchange(topology.exchange);
      const lost = existed ? await lostBindings() : cqrsIds;
      await topology.ensureExchange(connection);
      await bindAll(channel, connection);
      if (lost.length > 0) events.emit('cqrs.inbox.gap', { queue, missing: 'binding', cqrsIds: lost });
    },
    onMessage: (message, channel) => onDelivery(new RabbitMQDelivery(message, channel, shared)),
  };
}

function cannotLook(queue: string, error: Error): CqrsEvents['cqrs.replica.warned'] {
  return {
    where: `the queue ${queue}`,
    what: `whether a binding was lost cannot be seen: ${error.message}.`,
    cure: 'The user needs the tag monitoring; or leave out managementUrl.',
  };
}

function notOurs(queue: string, names: string): CqrsEvents['cqrs.replica.warned'] {
  return {
    where: `the queue ${queue}`,
    what: `the user may not make or verify: ${names}. It takes what is there.`,
    cure: 'Whoever administers the broker keeps queues and bindings right: docs/operating.md, Rights at the broker.',
  };
}

function lacksDeadLetters(queue: string, deadLetterQueue: string): CqrsEvents['cqrs.replica.warned'] {
  return {
    where: `the queue ${queue}`,
    what: 'was made without a dead-letter exchange, or with another: without a policy, what the broker drops of it is lost or goes elsewhere.',
    cure: `Unless there is one: ${keepingPolicy(queue, deadLetterQueue)}`,
  };
}
