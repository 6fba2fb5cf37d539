import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAdmin } from '../../src/admin/admin.js';
import type { JobDetail } from '../../src/admin/contract.js';
import { AdminClient, byHeader } from '../admin/client.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { CliService } from './cli-service.js';

/**
 * What nobody may read of a dead letter, for each place where one is shown: values of fields that the master sends and
 * the replica does not map (the master may hide them), and of fields that the replica hides.
 */

const service = new CliService('letter_privacy', 'private');
let viewer: AdminClient;
let operator: AdminClient;

/** Every one of them has this in it. */
const SECRET = 's3cr3t';
const secret = (name: string): string => `${SECRET} ${name}`;
const updated = '2026-11-21 12:00:00.123456+00:00';

function letterOf(cqrsId: string, id: number | string, data: object, over: object = {}): string {
  // Code of the user's own may quote what it was given.
  const quoted = Object.values(data).find((value) => String(value).includes(SECRET));
  return saveOf(id, {
    cqrs_id: cqrsId,
    instance_data: { id, ...data, cqrs_revision: 0, cqrs_updated: updated },
    previous_data: { ssn: secret('before'), name: 'Eve' },
    meta: {
      tenant: secret('meta'),
      cqrs: { reason: 'mapping', error: `Error: no room for ${quoted ?? 'it'}`, failedAt: '2026-11-21T12:00:00.000Z' },
    },
    ...over,
  });
}

const patient = {
  ssn: secret('ssn'),
  pin: secret('pin'),
  notes: { pin: secret('nested'), open: 'yes' },
  kids: [secret('kids')],
};
const LETTERS = [
  letterOf('patient', 1, { name: 'Ada', ...patient }),
  letterOf('patient', 2, { name: 'quoted', ...patient }),
  letterOf('patient', 3, { name: 'with a number', ssn: Number('123456789'), pin: null, notes: null }),
  letterOf('patient', 4, { custom: secret('custom') }, { signal_type: 'DELETE' }),
  letterOf('custom', 5, { ssn: secret('ssn') }),
  letterOf('nobody-knows', 6, { name: secret('name') }),
  letterOf('token', secret('key'), { name: 'longer than three' }),
  letterOf('token', secret('key'), {}, { signal_type: 'DELETE' }),
  letterOf('patient', 7, { name: 'Ada', ...patient }, { meta: secret('as a text') }),
  `{"signal_type":"SAVE","cqrs_id":"patient","instance_data":"${secret('unreadable')}"}`,
];

beforeAll(async () => {
  await service.open();
  const { cqrs, deadLetterQueue } = service;
  const consumer = cqrs.createConsumer();
  await consumer.start();
  await consumer.stop();
  await cqrs.connect();
  const route = { cqrsId: 'patient', queue: deadLetterQueue };
  await cqrs.transport.publish(LETTERS.map((body) => ({ route, body })));
  const admin = createAdmin(cqrs, { authorize: byHeader });
  viewer = new AdminClient(admin, '', { authorization: 'read-only bob' });
  operator = new AdminClient(admin);
});
afterAll(() => service.close());

function expectNoSecret(shown: unknown): void {
  const text = typeof shown === 'string' ? shown : JSON.stringify(shown);
  expect(text).not.toContain(SECRET);
  expect(text).not.toContain('123456789');
}

describe('the page', () => {
  test('GET api/dead-letters/{id} shows what is mapped and not hidden, and says what else is there', async () => {
    const { letters } = await viewer.ask('letters', { body: {} });
    expect(letters).toHaveLength(LETTERS.length);
    const all = await Promise.all(letters.map(({ id }) => viewer.ask('letter', { params: { id } })));
    expectNoSecret(all);
    const [first] = all;
    expect(first).toMatchObject({ hidden: ['notes.pin', 'pin'], unmapped: ['kids', 'meta.tenant', 'ssn'], key: '1' });
    expect(JSON.parse(first!.body)).toMatchObject({
      instance_data: {
        id: 1,
        name: 'Ada',
        notes: { pin: '(hidden)', open: 'yes' },
        pin: '(hidden)',
        ssn: '(not mapped)',
        kids: '(not mapped)',
        cqrs_revision: 0,
        cqrs_updated: updated,
      },
      previous_data: { ssn: '(not mapped)', name: 'Eve' },
      meta: { tenant: '(not mapped)', cqrs: { reason: 'mapping', error: 'Error: no room for (hidden)' } },
    });
    const deletion = all.find(({ key, signalType }) => key === '4' && signalType === 'DELETE');
    expect(JSON.parse(deletion!.body)).toMatchObject({ instance_data: { id: 4, custom: '(not mapped)' } });
    const custom = all.find(({ cqrsId }) => cqrsId === 'custom');
    expect(JSON.parse(custom!.body)).toMatchObject({ instance_data: { id: 5, ssn: '(not mapped)' } });
  });

  test('nor do lists, groups, rows and what is pushed name any', async () => {
    expectNoSecret(await viewer.ask('letters', { body: {} }));
    const { groups } = await viewer.ask('deadLetters');
    expect(groups.some(({ error }) => error === 'Error: no room for (hidden)')).toBe(true);
    expectNoSecret(groups);
    expectNoSecret(await viewer.ask('overview'));
    const row = await viewer.ask('replicaRow', { params: { cqrsId: 'patient' }, body: { key: '1' } });
    expect(row.deadLetters).toHaveLength(1);
    expectNoSecret(row);
  });

  test('nor does a trial that fails in code that quotes one', async () => {
    let job: JobDetail = await operator.ask('dryRunLetters', { body: { selection: { all: true } } });
    while (job.state === 'waiting' || job.state === 'running') {
      job = await operator.ask('job', { params: { id: job.id } });
    }
    expect(job.items.map(({ reason }) => reason)).toContain('would fail: Error: no room for (hidden), (hidden)');
    expectNoSecret(job);
    expectNoSecret(await viewer.ask('jobs'));
  });
});

describe('the commands', () => {
  test.each(['list', 'list --json', 'show', 'dump', 'retry --dry-run', 'retry --dry-run --json'])(
    'cqrs dead-letters %s',
    async (command) => {
      const { out, err } = await service.shell(`cqrs dead-letters ${command}`);
      expectNoSecret(out);
      expectNoSecret(err);
      expect(out).toContain('patient');
    },
  );

  test('show and dump say what is mapped, and what else is there', async () => {
    const { out } = await service.shell('cqrs dead-letters dump');
    const bodies = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, Record<string, unknown>>);
    expect(bodies).toHaveLength(LETTERS.length);
    expect(bodies[0]).toMatchObject({
      signal_type: 'SAVE',
      instance_pk: 1,
      instance_data: { id: 1, name: 'Ada', ssn: '(not mapped)', pin: '(hidden)' },
    });
    const shown = await service.shell('cqrs dead-letters show --key 1');
    expect(shown.out).toContain(JSON.stringify(bodies[0]));
  });

  test('a letter is found by a key that is not printed, and put back whole', async () => {
    const { out } = await service.shell(`cqrs dead-letters list --key '${secret('key')}' --json`);
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).instancePk),
    ).toEqual(['(hidden)', '(hidden)']);
    const { code } = await service.shell('cqrs dead-letters retry --key 1');
    expect(code).toBe(0);
    const { cqrs } = service;
    const applied = Promise.withResolvers<void>();
    const off = cqrs.events.on('cqrs.inbox.applied', () => applied.resolve());
    const consumer = cqrs.createConsumer();
    await consumer.start();
    await applied.promise;
    await consumer.stop();
    off();
    expect(await service.sql('select pin from patient_ref')).toEqual([{ pin: secret('pin') }]);
  });
});
