import type { RabbitMQOptions } from './options.js';
import { RabbitMQTransport } from './rabbitmq-transport.js';

/**
 * RabbitMQ as django-cqrs's KombuTransport uses it: messages carry `content_encoding`, a priority and a headers table,
 * and a consumer holds 10 messages unless `prefetchLimit` says otherwise. Retries, dead letters, expiry and meta, which
 * Python drops over kombu, stay.
 */
export class KombuTransport extends RabbitMQTransport {
  constructor(options: Omit<RabbitMQOptions, 'dialect'> = {}) {
    super({ prefetchLimit: 10, ...options, dialect: 'kombu' });
  }
}
