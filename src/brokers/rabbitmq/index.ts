import '../../kernel/supported-node.js';
export { KombuTransport } from './kombu-transport.js';
export type { RabbitMQOptions } from './options.js';
export { RabbitMQTransport } from './rabbitmq-transport.js';
