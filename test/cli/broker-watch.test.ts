import { beforeEach, expect, test } from '@jest/globals';
import { watchBroker } from '../../src/cli/broker-watch.js';
import { TransportError } from '../../src/kernel/errors.js';
import { Events } from '../../src/kernel/events.js';

const broker = 'amqp://b/';
const AWAY = 'cqrs: disconnected from amqp://b/: Error: reset; waiting. Ctrl-C is safe: run it again.';
let events: Events;
let said: string[];

beforeEach(() => {
  events = new Events();
  said = [];
});

const lost = (): void => events.emit('cqrs.transport.disconnected', { broker, error: new Error('reset') });
const back = (): void => events.emit('cqrs.transport.connected', { broker });
const failed = (): void =>
  events.emit('cqrs.relay.failed', { error: new TransportError('no such exchange'), retryInMs: 200 });
const recovered = (): void => events.emit('cqrs.relay.recovered', { failures: 1 });
const blocked = (): void => events.emit('cqrs.transport.blocked', { broker, reason: 'low on memory' });
const unblocked = (): void => events.emit('cqrs.transport.unblocked', { broker });

test.each<[string, (() => void)[], string[]]>([
  ['the first connection', [back], []],
  [
    'both connections lost, and attempts that fail meanwhile',
    [lost, lost, failed, failed, back, failed, back, recovered],
    [AWAY, 'cqrs: connected to amqp://b/ again; going on.'],
  ],
  [
    'a broker that is short of memory',
    [blocked, failed, unblocked, recovered],
    [
      'cqrs: amqp://b/ holds publishers back: low on memory; waiting. Ctrl-C is safe: run it again.',
      'cqrs: amqp://b/ lets publishers go on; going on.',
    ],
  ],
  [
    'messages that are refused over a connection that is there',
    [failed, failed, recovered],
    [
      expect.stringMatching(
        /^cqrs: cannot publish: TransportError: no such exchange.*; waiting\. Ctrl-C is safe/,
      ) as never,
      'cqrs: publishing works again; going on.',
    ],
  ],
])('%s', (_, happenings, lines) => {
  using _watch = watchBroker(
    events,
    (line) => said.push(line),
    () => 'run it again.',
  );
  for (const happening of happenings) happening();
  expect(said).toEqual(lines);
});

test('nothing is said any more at the end, when the command itself closes its connections', () => {
  watchBroker(
    events,
    (line) => said.push(line),
    () => '',
  )[Symbol.dispose]();
  lost();
  expect(said).toEqual([]);
});
