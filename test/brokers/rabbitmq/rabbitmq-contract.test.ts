import { describe, test } from '@jest/globals';
import { transportContract } from '../../../src/testing/index.js';
import { rabbitMQHarness } from './rabbitmq-server.js';

describe('RabbitMQTransport keeps the contract', () => {
  for (const { name, run } of transportContract(() => rabbitMQHarness())) test(name, run);
});

describe('RabbitMQTransport keeps the contract on quorum queues', () => {
  for (const { name, run } of transportContract(() => rabbitMQHarness({ queueType: 'quorum' }))) {
    if (/^(close|ack|retry|deadLetter|unreadable|dead letters)/.test(name)) test(name, run);
  }
});

describe('KombuTransport keeps what is promised of messages that fail, too', () => {
  for (const { name, run } of transportContract(() => rabbitMQHarness({ dialect: 'kombu' }))) {
    if (/^(retry|deadLetter|unreadable|dead letters)/.test(name)) test(name, run);
  }
});
