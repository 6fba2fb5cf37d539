import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { TransportError } from '../../../src/kernel/errors.js';
import { brokerError, connectionError } from '../../../src/brokers/rabbitmq/broker-error.js';

const BROKER = 'amqp://rabbit:5672/shop';
const everything = (error: Error): string => inspect(error, { depth: 10, showHidden: true });

describe('errors of the broker', () => {
  test('do not name the user, in the message or in the cause', () => {
    const said = new Error(
      `Operation failed: ExchangeDeclare; 403 (ACCESS_REFUSED) with message "access to exchange 'cqrs' in vhost 'shop' refused for user 'someone'"`,
    );
    const error = brokerError(BROKER, 'publishing', Object.assign(said, { code: 403 }));
    expect(error.message).toContain("access to exchange 'cqrs'");
    expect(error.cause).toMatchObject({ code: 403 });
    expect(everything(error)).not.toContain('someone');
  });

  test('are not wrapped twice', () => {
    const error = new TransportError('It took too long');
    expect(brokerError(BROKER, 'publishing', error)).toBe(error);
  });

  test.each([
    ['Handshake terminated by server: 403 (ACCESS-REFUSED) with message "…"', 'refused the user or password'],
    ['Expected ConnectionOpenOk; got <ConnectionClose channel:0>', 'no such vhost'],
    ['connect ECONNREFUSED 10.0.0.1:5672', 'cannot be reached: connect ECONNREFUSED 10.0.0.1:5672'],
  ])('%s', (said, expected) => {
    const { message, data } = connectionError(BROKER, new Error(said));
    expect(message).toContain(expected);
    expect(message).toContain(BROKER);
    expect(data).toEqual({ broker: BROKER });
  });

  test('every address of a name refused: the first one is told', () => {
    const refused = new AggregateError([new Error('connect ECONNREFUSED ::1:5672'), new Error('…')]);
    expect(connectionError(BROKER, refused).message).toContain('ECONNREFUSED ::1:5672');
  });
});
