import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { ConfigurationError } from '../../../src/kernel/errors.js';
import { KombuTransport, RabbitMQTransport, type RabbitMQOptions } from '../../../src/brokers/rabbitmq/index.js';
import { parseRabbitMQOptions } from '../../../src/brokers/rabbitmq/options.js';

const addressOf = (options: RabbitMQOptions) => parseRabbitMQOptions(options).addresses[0]!;

function problemsOf(options: object): string {
  try {
    parseRabbitMQOptions(options);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return inspect(error, { depth: 10 });
  }
  throw new Error('no problem was found');
}

describe('where to connect to', () => {
  test.each<[RabbitMQOptions, object]>([
    [{}, { protocol: 'amqp', hostname: 'localhost', port: 5672, username: 'guest', password: 'guest', vhost: '/' }],
    [{ url: 'amqp://rabbit' }, { hostname: 'rabbit', port: 5672, username: 'guest', vhost: '/' }],
    [{ url: 'amqps://rabbit' }, { protocol: 'amqps', port: 5671 }],
    [{ url: 'amqp://me:p%40ss%2Fword@rabbit:1/' }, { username: 'me', password: 'p@ss/word', port: 1, vhost: '/' }],
    [{ url: 'amqp://rabbit/shop' }, { vhost: 'shop' }],
    [{ url: 'amqp://rabbit/%2F' }, { vhost: '/' }],
    [{ url: 'amqp://rabbit/a%2Fb?heartbeat=30' }, { vhost: 'a/b', heartbeat: 30, name: 'amqp://rabbit:5672/a%2Fb' }],
    [{ url: 'amqp://[::1]:5673' }, { hostname: '::1', port: 5673, name: 'amqp://[::1]:5673/' }],
    [
      { host: 'rabbit', user: 'me', password: 'p@ss', vhost: 'a/b', heartbeatSeconds: 5 },
      { hostname: 'rabbit', username: 'me', password: 'p@ss', vhost: 'a/b', heartbeat: 5 },
    ],
    [
      { host: 'rabbit', tls: { ca: 'pem' } },
      { protocol: 'amqps', port: 5671 },
    ],
  ])('%j', (options, expected) => {
    expect(addressOf(options)).toMatchObject(expected);
  });

  test('several hosts are kept in order', () => {
    const { brokers } = new RabbitMQTransport({ url: ['amqp://one', 'amqps://two/shop'] });
    expect(brokers).toEqual(['amqp://one:5672/', 'amqps://two:5671/shop']);
  });
});

describe('wrong options are named, all at once, without what they say', () => {
  test.each([
    [{ url: 'secret' }, 'is not a URL'],
    [{ url: 'http://me:secret@rabbit' }, 'neither amqp nor amqps'],
    [{ url: 'amqp://me:secret%@rabbit' }, 'percent sign'],
    [{ url: 'amqp://me:secret@rabbit/?connection_attempts=3' }, "a parameter beside 'heartbeat'"],
    [{ url: 'amqp://me:secret@rabbit', host: 'rabbit' }, 'beside host'],
    [{ url: 'amqp://me:secret@rabbit', tls: {} }, 'no effect on an amqp:// URL'],
    [{ url: 'amqps://me:secret@rabbit', tls: { cert: '/secret.pem', key: 'secret' } }, 'cannot be read'],
    [{ url: ['amqp://rabbit', 'ftp://me:secret@rabbit'] }, 'transportOptions.url.1'],
    [{ password: 'secret', port: 0 }, 'transportOptions.port'],
    [{ pasword: 'secret' }, 'pasword'],
    [{ queueType: 'stream' }, 'transportOptions.queueType'],
  ])('%j', (options, expected) => {
    const said = problemsOf(options);
    expect(said).toContain(expected);
    expect(said).not.toContain('secret');
  });

  test('more than one problem, one error', () => {
    const said = problemsOf({ port: 0, dialect: 'x', heartbeatSeconds: -1 });
    for (const option of ['port', 'dialect', 'heartbeatSeconds']) expect(said).toContain(`transportOptions.${option}`);
  });
});

// claims: no-secrets
test('a transport that is printed shows no password', () => {
  const transport = new RabbitMQTransport({ url: 'amqp://me:secret@rabbit' });
  expect(inspect(transport, { depth: 10, showHidden: true })).not.toContain('secret');
  expect(JSON.stringify(transport)).not.toContain('secret');
});

test('KombuTransport is a preset whose prefetch can be raised', () => {
  expect(new KombuTransport()).toBeInstanceOf(RabbitMQTransport);
  expect(() => new KombuTransport({ prefetchLimit: 0 })).toThrow(ConfigurationError);
});
