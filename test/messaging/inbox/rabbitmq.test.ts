import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology } from '../../support/broker.js';
import { tellInboxStories } from './stories.js';

tellInboxStories({
  name: 'RabbitMQ',
  make: () => ({ join: () => new RabbitMQTransport({ url: amqpUrl }), clear: deleteTopology }),
});
