import { describe, expect, test } from '@jest/globals';
import { InFlight, type InFlightMessage } from '../../../src/brokers/rabbitmq/in-flight.js';

const message = (routingKey: string, body: string): InFlightMessage => ({
  exchange: 'cqrs',
  routingKey,
  body: Buffer.from(body),
  returned: false,
});

const returnOf = ({ exchange, routingKey, body }: InFlightMessage) => ({
  exchange,
  routingKey,
  body: Buffer.from(body),
});

describe('InFlight', () => {
  test('a return marks the message with its address and body', () => {
    const inFlight = new InFlight();
    const messages = [message('author', 'a'), message('book', 'a'), message('author', 'b')];
    for (const each of messages) inFlight.add(each);
    inFlight.markReturned(returnOf(messages[2]!));
    expect(messages.map((each) => each.returned)).toEqual([false, false, true]);
  });

  test('of equal messages each return marks one', () => {
    const inFlight = new InFlight();
    const messages = [message('author', 'a'), message('author', 'a')];
    for (const each of messages) inFlight.add(each);
    inFlight.markReturned(returnOf(messages[0]!));
    expect(messages.map((each) => each.returned)).toEqual([true, false]);
    inFlight.markReturned(returnOf(messages[0]!));
    expect(messages.map((each) => each.returned)).toEqual([true, true]);
  });

  test('what was confirmed, or never sent, is not marked', () => {
    const inFlight = new InFlight();
    const confirmed = message('author', 'a');
    inFlight.add(confirmed);
    inFlight.remove(confirmed);
    inFlight.markReturned(returnOf(confirmed));
    inFlight.markReturned(returnOf(message('unknown', 'x')));
    expect(confirmed.returned).toBe(false);
  });
});
