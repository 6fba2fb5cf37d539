import { expect, test } from '@jest/globals';
import { Events } from '../../../src/kernel/events.js';
import { open } from '../../../src/messaging/inbox/message.js';
import { Origins } from '../../../src/messaging/inbox/origins.js';
import type { Delivery } from '../../../src/messaging/transport/transport.js';

const delivery = (id: string, origin: unknown, redelivered = false): Delivery =>
  ({
    body: Buffer.from(
      JSON.stringify({
        signal_type: 'SYNC',
        cqrs_id: id,
        instance_data: { id: 1, cqrs_revision: 0, cqrs_updated: '2026-01-02 03:04:05+00:00' },
        instance_pk: 1,
      }),
    ),
    headers: origin === undefined ? {} : { 'x-cqrs-origin': origin },
    direct: false,
    redelivered,
  }) as never;

/** Which changes are told of these messages, each a second after the one before. */
function told(...messages: Delivery[]): string[] {
  const events = new Events();
  const heard: string[] = [];
  events.on('cqrs.inbox.origin-changed', ({ cqrsId, changes }) => heard.push(`${cqrsId} ${changes}`));
  let now = 0;
  const origins = new Origins({ queue: 'q', cqrsIds: ['a', 'b'], events, now: () => now });
  for (const message of messages) {
    now += 1_000;
    origins.noticing(open(message, 1_000));
  }
  return heard;
}

test.each<[what: string, messages: Delivery[], ...expected: string[]]>([
  ['one database', [delivery('a', 'x'), delivery('a', 'x')]],
  ['two', [delivery('a', 'x'), delivery('a', 'y'), delivery('a', 'x')], 'a 1', 'a 2'],
  ['a master that has moved', [delivery('a', 'x'), delivery('a', 'y'), delivery('a', 'y')], 'a 1'],
  [
    'a late message of a master that has moved',
    [delivery('a', 'x'), delivery('a', 'y'), delivery('a', 'x', true)],
    'a 1',
  ],
  ['each id by itself', [delivery('a', 'x'), delivery('b', 'y'), delivery('a', 'x')]],
  ['a master that does not tell', [delivery('a', undefined), delivery('a', 'x'), delivery('a', undefined)]],
  ['an id that is not consumed', [delivery('z', 'x'), delivery('z', 'y')]],
  ['what is no origin', [delivery('a', 'x'), delivery('a', 1), delivery('a', ''), delivery('a', 'y'.repeat(100))]],
  [
    'a hundred messages in turn: told when it is known, and once a minute then',
    Array.from({ length: 100 }, (_, index) => delivery('a', index % 2 === 0 ? 'x' : 'y')),
    'a 1',
    'a 2',
    'a 62',
  ],
])('%s', (_what, messages, ...expected) => {
  expect(told(...messages)).toEqual(expected);
});

test('what cannot be read is passed on', () => {
  const origins = new Origins({ queue: 'q', cqrsIds: ['a'], events: new Events() });
  const unread = open({ ...delivery('a', 'x'), body: Buffer.from('{') } as never, 1_000);
  expect(origins.noticing(unread)).toBe(unread);
});
