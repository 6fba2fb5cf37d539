import { describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { describeError } from '../../src/kernel/describe-error.js';
import { ConfigurationError, Cqrs, logEvents, masterClass, MasterEntity } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { Chance } from '../fuzz/random.js';

const ItemSchema = defineEntity({ name: 'Item', extends: MasterEntity, properties: { id: p.integer().primary() } });
class Item extends masterClass(ItemSchema) {
  static override CQRS_ID = 'item';
}
ItemSchema.setClass(Item);

/** Letters that no text of ours has four of in a row, and whatever a URL or a generator of passwords may make of them. */
const LETTERS = 'QXZJKVWqxzjkvw';
const RESERVED = '/?#@\\:%+=&;[]^|!$()*, 7';

function makePassword(random: Chance): string {
  const length = 6 + random.below(20);
  return Array.from({ length }, () => {
    const from = random.below(3) === 0 ? RESERVED : LETTERS;
    return from[random.below(from.length)];
  }).join('');
}

/** The first piece of four characters or more that is told, of letters: anything shorter or else is in any text. */
function told(password: string, texts: readonly string[]): string | undefined {
  const pieces = Array.from({ length: password.length }, (_, start) => password.slice(start, start + 4));
  return pieces
    .filter((piece) => /^[A-Za-z]{4}$/.test(piece))
    .find((piece) => texts.some((text) => text.includes(piece)));
}

const everything = (error: unknown): string[] => [
  describeError(error),
  String(error),
  JSON.stringify(error, Object.getOwnPropertyNames(error)),
];

describe('a URL whose password holds characters of URLs', () => {
  test.each(['p@ss/w0rd-secret', '12/Secret+abc==', '12#Secret', '12?Secret', '12\\Secret', 'a@b', '/', '@@'])(
    '%s is refused, by broker and database, without a word of it',
    (password) => {
      for (const make of [
        () => new RabbitMQTransport({ url: `amqp://svc:${password}@127.0.0.1/vh` }),
        () => new RabbitMQTransport({ url: ['amqp://host', `amqps://svc:${password}@127.0.0.1`] }),
        () => openDatabase(`postgresql://svc:${password}@127.0.0.1:1/shop`),
        () => openDatabase('postgresql://127.0.0.1:1/shop', `postgresql://svc:${password}@127.0.0.1:1/shop`),
      ]) {
        expect(make).toThrow(ConfigurationError);
        expect(make).toThrow(/Percent-encode/);
        expect(make).not.toThrow(/ecret|w0rd/);
      }
    },
  );

  test.each([
    'amqp://host',
    'amqps://svc:p%40ss%2Fw@host:5671/v%2Fh?heartbeat=5',
    'amqp://svc@[::1]/a/b',
    'amqp://a:b:c@h',
  ])('%s is one that can be read', (url) => {
    expect(() => new RabbitMQTransport({ url })).not.toThrow();
  });
});

// claims: no-secrets
test('no piece of a password of four characters or more is told, whatever it holds, refused or not', async () => {
  const random = new Chance(20_261);
  let accepted = 0;
  for (let round = 0; round < 3_000; round++) {
    const password = makePassword(random);
    const texts: string[] = [];
    try {
      texts.push(...new RabbitMQTransport({ url: `amqp://svc:${password}@127.0.0.1:1/vh` }).brokers);
      accepted++;
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      texts.push(...everything(error));
    }
    expect({ password, told: told(password, texts) }).toEqual({ password, told: undefined });
  }
  expect(accepted).toBeGreaterThan(50);
});

// claims: no-secrets
test('nor in logs, events and errors of a service that starts with it', async () => {
  const random = new Chance(20_262);
  for (let round = 0; round < 60; round++) {
    const password = makePassword(random);
    const texts: string[] = [];
    const orms: MikroORM[] = [];
    try {
      const url = `amqp://svc:${password}@127.0.0.1:1/vh`;
      const cqrs = new Cqrs({ transport: RabbitMQTransport, transportOptions: { url } });
      logEvents(cqrs.events, { level: 'debug', json: true, write: (line) => texts.push(line) });
      await cqrs.connect().catch((error: unknown) => texts.push(...everything(error)));
      orms.push(openDatabase(`postgresql://svc:${password}@127.0.0.1:1/shop`, undefined, cqrs));
      await cqrs.start();
    } catch (error) {
      texts.push(...everything(error));
    }
    for (const orm of orms) await orm.close(true);
    expect(texts).not.toEqual([]);
    expect({ password, told: told(password, texts) }).toEqual({ password, told: undefined });
  }
});

function openDatabase(
  clientUrl: string,
  replica?: string,
  cqrs: Cqrs = new Cqrs({ transport: 'MemoryTransport' }),
): MikroORM {
  return new MikroORM({
    clientUrl,
    dbName: 'shop', // without it MikroORM refuses some by itself
    entities: [Item],
    extensions: [cqrs],
    ...(replica === undefined ? {} : { replicas: [{ clientUrl: replica }] }),
  });
}
