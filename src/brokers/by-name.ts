import { ConfigurationError } from '../kernel/errors.js';
import type { Transport } from '../messaging/transport/transport.js';

/** A transport: ready made, its class, or its name where settings come from the environment. */
export type TransportOption = Transport | (new (options: never) => Transport) | TransportName;
export type TransportName = 'MemoryTransport' | 'RabbitMQTransport' | 'KombuTransport';

/**
 * The transport that an option stands for. AMQP is loaded only for who asks for it.
 * @throws ConfigurationError when the name is unknown or the options are wrong.
 */
export async function resolveTransport(option: TransportOption, options: object): Promise<Transport> {
  if (typeof option === 'object') return option;
  if (typeof option === 'function') return new option(options as never);
  switch (option) {
    case 'MemoryTransport':
      return new (await import('../messaging/transport/memory.js')).MemoryTransport();
    case 'RabbitMQTransport':
      return new (await import('./rabbitmq/index.js')).RabbitMQTransport(options as never);
    case 'KombuTransport':
      return new (await import('./rabbitmq/index.js')).KombuTransport(options as never);
    default:
      throw new ConfigurationError([
        {
          where: 'settings.transport',
          what: `there is no transport called '${String(option satisfies never)}'.`,
          cure: 'Use MemoryTransport, RabbitMQTransport or KombuTransport, or pass a transport of your own.',
        },
      ]);
  }
}
