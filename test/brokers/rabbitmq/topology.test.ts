import { describe, expect, test } from '@jest/globals';
import { directKey, readAddress, routingKey } from '../../../src/brokers/rabbitmq/topology.js';

describe('routing keys', () => {
  test('to all replicas: the id; to one: its queue and the id', () => {
    expect(routingKey({ cqrsId: 'billing.invoice', queue: null })).toBe('billing.invoice');
    expect(routingKey({ cqrsId: 'billing.invoice', queue: 'reports' })).toBe('cqrs.reports.billing.invoice');
  });

  test.each([
    ['cqrs', 'billing.invoice', { cqrsId: 'billing.invoice', direct: false }],
    ['cqrs', 'cqrs.reports.billing.invoice', { cqrsId: 'billing.invoice', direct: true }],
    ['cqrs', 'cqrs.reports_two.author', { cqrsId: 'cqrs.reports_two.author', direct: false }],
    ['cqrs', 'cqrs.reports.', { cqrsId: null, direct: true }],
    ['', 'reports', { cqrsId: null, direct: true }],
  ])('read back from exchange %j and key %j', (exchange, key, expected) => {
    expect(readAddress({ exchange, routingKey: key }, directKey('reports', null))).toEqual(expected);
  });

  test('a key never passes the limit of AMQP; without the id it still reaches the queue', () => {
    const long = 'é'.repeat(126);
    expect(directKey('reports', long)).toBe('cqrs.reports.');
    expect(
      readAddress({ exchange: 'cqrs', routingKey: directKey('reports', long) }, directKey('reports', null)).direct,
    ).toBe(true);
  });
});
