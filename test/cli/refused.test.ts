import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CliService } from './cli-service.js';

/** What an operator types about messages that the broker refuses, and about a replica that is no more. */

const service = new CliService('refused');
const { queue, deadLetterQueue } = service;

beforeAll(async () => {
  await service.open();
  const consumer = service.cqrs.createConsumer();
  await consumer.start();
  await consumer.stop();
});
afterAll(() => service.close());

/** Two rows of which the broker refuses a message, and one more message behind each. */
async function hold(): Promise<void> {
  await service.sql('delete from cqrs_held');
  await service.sql(`insert into cqrs_held (id, bucket, cqrs_id, signal, key, body, created_at, state, reason, passing, attempts, held_at)
    select n, 1, 'account', 'SAVE', format('["%s"]', (n + 1) / 2), '{}', now(), case n % 2 when 1 then 'refused' else 'behind' end,
           case n % 2 when 1 then 'too long' end, false, 1, now() from generate_series(1, 4) as n`);
}

const held = () =>
  service.sql<{ id: string; state: string; due: boolean }>(
    `select id::text, state, retry_at is not null and retry_at <= clock_timestamp() as due from cqrs_held order by id`,
  );

test('cqrs refused list, retry and drop: row by row, with what the broker says', async () => {
  await hold();
  const listed = await service.shell('cqrs refused list');
  expect([listed.code, listed.err]).toEqual([0, '2 refused messages.\n']);
  expect(listed.out.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^1 .* SAVE +account +\["1"\] .* waits for an operator +1 behind it +too long$/),
    expect.stringMatching(/^3 .* SAVE +account +\["2"\] .* waits for an operator +1 behind it +too long$/),
  ]);

  const retried = await service.shell('cqrs refused retry --id 3');
  expect([retried.code, retried.out]).toEqual([0, '1 refused messages are due now: the relay attempts them next.\n']);
  expect((await held()).filter(({ due }) => due).map(({ id }) => id)).toContain('3');
  expect((await held()).find(({ id }) => id === '1')).toMatchObject({ state: 'refused', due: false });

  const kept = await service.shell('echo n | cqrs refused drop --id 1');
  expect([kept.code, (await held()).map(({ id }) => id)]).toEqual([0, ['1', '2', '3', '4']]);
  const dropped = await service.shell('cqrs refused drop --id 1 --yes');
  expect([dropped.code, dropped.out]).toEqual([0, expect.stringMatching(/^1 refused messages dropped\./)]);
  expect((await held()).map(({ id }) => id)).not.toContain('1');
  // What waited behind it leaves, as does what was retried.
  const relay = service.cqrs.createRelay();
  await relay.start();
  while ((await held()).length > 0);
  await relay.stop();
  expect(await service.cqrs.transport.inspect(queue)).toMatchObject({ messages: 3 });
});

test('cqrs retire removes the queues of a replica, with messages in them by force alone', async () => {
  await service.cqrs.transport.publish([{ route: { cqrsId: 'account', queue: deadLetterQueue }, body: '{}' }]);
  const refused = await service.shell(`cqrs retire --queue ${queue}`);
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('--force')]);
  const { code, out } = await service.shell(`cqrs retire --queue ${queue} --force`);
  expect([code, out.split('\n')]).toEqual([
    0,
    expect.arrayContaining([
      expect.stringMatching(`^${queue} removed, with \\d+ messages.$`),
      `${deadLetterQueue} removed, with 1 messages.`,
    ]),
  ]);
  expect(await service.cqrs.transport.inspect(queue)).toBeUndefined();
});
