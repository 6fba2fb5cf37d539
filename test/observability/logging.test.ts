import { describe, expect, test } from '@jest/globals';
import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { Events, type CqrsEventName, type CqrsEvents } from '../../src/kernel/events.js';
import { logEvents, type LogOptions } from '../../src/observability/logging.js';

const message = { queue: 'billing', cqrsId: 'account', signalType: 'SAVE', instancePk: '7', retries: 2 } as const;
const boom = new Error('boom');

type Examples = { readonly [N in CqrsEventName]: readonly [fields: CqrsEvents[N], line: string] };

const EXAMPLES: Examples = {
  'cqrs.master.announced': [
    { count: 2, cqrsIds: ['account', 'invoice'], counts: { account: 1, invoice: 1 } },
    'DEBUG 2 messages committed to the outbox (account, invoice)',
  ],
  'cqrs.master.uncaptured': [
    { entity: 'Account', reason: 'a cascade in the database', cure: 'Delete the rows yourself.' },
    'WARN  not every write of Account is replicated: a cascade in the database. Delete the rows yourself.',
  ],
  'cqrs.master.fields-changed': [
    { cqrsId: 'account', added: ['status'], removed: ['note', 'size'] },
    'WARN  account sends status from now on: replicas lack it of rows that were written before, or by processes of a former release. ' +
      'When all masters and replicas run the new one: cqrs reconcile --cqrs-id account --queue <queue of the replica>; ' +
      'account no longer sends note, size: replicas keep what they have, and messages for those whose mapping names it, or ' +
      'whose column must not be null and has no default, become dead letters',
  ],
  'cqrs.master.set-aside': [
    { entity: 'Account', instancePk: '7', reason: 'Error: no owner', error: new Error('no owner'), retryInMs: 5_000 },
    'ERROR no message can be made of a change of Account 7, and later ones of its row wait: Error: no owner. Next try in 5 s',
  ],
  'cqrs.master.reconciled': [
    {
      cqrsId: 'account',
      queue: 'shop',
      missing: 1,
      extra: 0,
      stale: 2,
      damaged: 0,
      ahead: 0,
      repaired: 3,
      told: false,
      durationMs: 4_000,
    },
    'WARN  account compared with shop in 4 s: 1 missing, 0 extra, 2 stale, 0 damaged, 0 ahead; 3 repaired; the replica was not told',
  ],
  'cqrs.relay.started': [{ owner: 'relay-1' }, 'INFO  relay started (relay-1)'],
  'cqrs.relay.stopped': [{ owner: 'relay-1' }, 'INFO  relay stopped (relay-1)'],
  'cqrs.relay.published': [{ count: 1, lagMs: 12, durationMs: 4 }, 'INFO  1 message published, 12 ms behind at most'],
  'cqrs.relay.unroutable': [
    { cqrsId: 'account', signalType: 'SYNC', queue: 'nowhere', outboxId: '5' },
    'ERROR SYNC of account for queue nowhere was not delivered: there is no such replica',
  ],
  'cqrs.relay.refused': [
    {
      cqrsId: 'account',
      signalType: 'SAVE',
      instancePk: '7',
      queue: null,
      outboxId: '5',
      bytes: 900,
      reason: "host refuses a message for 'account': too long.",
      passing: false,
      retryInMs: null,
    },
    "ERROR SAVE of account 7 (900 bytes) is held, and what follows of its row: host refuses a message for 'account': too long. See cqrs refused list",
  ],
  'cqrs.relay.held': [
    { count: 2, cqrsIds: ['account'] },
    'INFO  2 messages of account wait behind refused ones of their rows',
  ],
  'cqrs.relay.resolved': [
    { action: 'drop', count: 1, cqrsId: 'account' },
    'WARN  1 refused message of account dropped by an operator',
  ],
  'cqrs.relay.failed': [
    { error: boom, retryInMs: 1_500 },
    'WARN  cannot publish: Error: boom; nothing is lost, next try in 1.5 s',
  ],
  'cqrs.relay.clock-back': [
    { behindMs: 60_000 },
    "WARN  the database's clock is 60 s behind the incarnations that were given: it was set back, or another host has taken over. Incarnations go on from their sequence; check the clock",
  ],
  'cqrs.relay.lift-failed': [
    { error: boom },
    "WARN  the sequence of incarnations is not kept ahead of the database's clock: Error: boom; a clock that is set back now could make rows older than the deletion of their key. It is tried again every second",
  ],
  'cqrs.relay.recovered': [{ failures: 3 }, 'INFO  publishing works again after 3 failures'],
  'cqrs.transport.connected': [{ broker: 'amqp://host:5672/' }, 'INFO  connected to amqp://host:5672/'],
  'cqrs.transport.disconnected': [
    { broker: 'amqp://host:5672/', error: boom },
    'WARN  disconnected from amqp://host:5672/: Error: boom',
  ],
  'cqrs.transport.blocked': [
    { broker: 'host', reason: 'low on disk' },
    'WARN  host holds publishers back: low on disk',
  ],
  'cqrs.transport.unblocked': [{ broker: 'host' }, 'INFO  host lets publishers go on'],
  'cqrs.consumer.started': [
    { queue: 'billing', cqrsIds: ['account', 'invoice'] },
    'INFO  consuming billing for account, invoice',
  ],
  'cqrs.consumer.stopped': [{ queue: 'billing' }, 'INFO  stopped consuming billing'],
  'cqrs.inbox.gap': [
    { queue: 'billing', missing: 'binding', cqrsIds: ['account'] },
    'WARN  the binding of billing for account is new: what was sent before never reached it, deletions among it; run on the master: cqrs reconcile -c account -q billing',
  ],
  'cqrs.inbox.applied': [
    { ...message, action: 'create', version: { incarnation: 1, revision: 4, updated: 0 }, lagMs: 8 },
    'DEBUG SAVE of account 7: create, revision 4',
  ],
  'cqrs.inbox.recovered': [{ queue: 'billing', failures: 1 }, 'INFO  billing goes on after 1 failure'],
  'cqrs.inbox.skipped': [{ ...message, reason: 'stale' }, 'DEBUG SAVE of account 7 skipped: stale'],
  'cqrs.inbox.retried': [
    { ...message, reason: 'failed', delayMs: 2_000, error: boom },
    'WARN  SAVE of account 7 failed (failed, 2 retries so far): Error: boom; again in 2 s',
  ],
  'cqrs.inbox.dead-lettered': [
    { ...message, reason: 'max-retries', error: boom },
    'ERROR SAVE of account 7 is a dead letter after 2 retries: max-retries: Error: boom',
  ],
  'cqrs.inbox.dead-letters-expiring': [
    { queue: 'dead_letter_billing', count: 3, firstInSeconds: 36_000 },
    'WARN  up to 3 dead letters of dead_letter_billing will be dropped by the broker, the first in 10 h: see cqrs dead-letters list',
  ],
  'cqrs.inbox.origin-changed': [
    { queue: 'billing', cqrsId: 'account', changes: 1 },
    'WARN  messages of account in billing come from another database than before: its master was moved or restored, or a second service announces it',
  ],
  'cqrs.inbox.unreadable': [
    { queue: 'billing', reason: 'not JSON', bytes: 12 },
    'ERROR a body of 12 bytes in billing cannot be read and went to unreadable_billing: not JSON',
  ],
  'cqrs.inbox.end-refused': [
    { queue: 'billing', cqrsId: 'account', error: boom, retryInMs: 20_000 },
    'ERROR a message of account in billing cannot end: Error: boom; it comes back in 20 s, and the others go on',
  ],
  'cqrs.inbox.batch-applied': [
    { queue: 'billing', count: 10, applied: 8, durationMs: 3, lagMs: 200_000 },
    'INFO  10 messages of billing done, 2 of them not applied, 3 min behind at most',
  ],
  'cqrs.inbox.batch-split': [
    { queue: 'billing', count: 10, error: boom },
    'DEBUG 10 messages of billing failed together and are tried in halves: Error: boom',
  ],
  'cqrs.inbox.failed': [
    { queue: 'billing', error: boom, retryInMs: 100 },
    'WARN  billing has to wait: Error: boom; next try in 100 ms',
  ],
  'cqrs.inbox.questions-refused': [
    { queue: 'billing', error: boom, retryInMs: 1_000 },
    'WARN  no master can compare its rows with those behind billing: Error: boom; next try in 1 s',
  ],
  'cqrs.replica.clock-distrusted': [
    { ...message, aheadMs: 10_800_000 },
    'WARN  SAVE of account 7 claims to be 3 h from the future; its revision alone decided. Check the clock of its master',
  ],
  'cqrs.replica.order-doubted': [
    { ...message, reason: 'tie', revision: 2 },
    'WARN  SAVE of account 7: another state of the row has the same revision, 2; the later time was taken',
  ],
  'cqrs.replica.keys-held': [
    {
      queue: 'billing',
      count: 3,
      waitMs: 5_000,
      holders: [{ pid: 4711, application: 'billing', address: '10.0.0.7', state: 'idle in transaction', seconds: 9 }],
    },
    'WARN  billing: the keys of 3 messages have been held by another worker for more than 5 s: PostgreSQL process 4711 (billing at 10.0.0.7), idle in transaction, for 9 s. They are tried again later, the others go on',
  ],
  'cqrs.replica.warned': [
    { where: 'AccountRef', what: 'has a unique constraint.', cure: 'Leave it to the master.' },
    'WARN  AccountRef has a unique constraint. Leave it to the master.',
  ],
  'cqrs.replica.lossy-value': [
    { cqrsId: 'invoice', field: 'total', table: '"invoice_ref"', column: 'total', columnType: 'numeric(10,0)' },
    `WARN  invoice: 'total' brought more than total of "invoice_ref" stores as numeric(10,0); it was rounded or cut, and so may others be. Make the column wider, then run on the master: cqrs reconcile -c invoice, with the queue of this replica`,
  ],
  'cqrs.replica.query-timed-out': [
    { queue: 'shop', cqrsId: 'account', doing: 'writing', timeoutMs: 1_500 },
    'WARN  writing account: a statement was cancelled after 1.5 s (replica.queryTimeoutMs)',
  ],
  'cqrs.replica.asked': [
    { question: 'digests', cqrsId: 'account', durationMs: 1_500, refused: null },
    'DEBUG account: told a master its digests in 1.5 s',
  ],
  'cqrs.replica.compared': [
    {
      cqrsId: 'account',
      whole: true,
      masterRows: 9,
      replicaRows: 8,
      missing: 1,
      extra: 0,
      stale: 2,
      damaged: 0,
      ahead: 0,
      repaired: 3,
    },
    'INFO  account compared by its master (9 there, 8 here): 1 missing, 0 extra, 2 stale, 0 damaged, 0 ahead; 3 repaired',
  ],
  'cqrs.replica.tombstones-purged': [{ count: 1 }, 'DEBUG 1 tombstone purged'],
  'cqrs.activity.failed': [
    { error: boom, retryInMs: 5_000 },
    'WARN  what this process does cannot be recorded: Error: boom; the work goes on, next try in 5 s',
  ],
  'cqrs.admin.acted': [
    { user: 'ada', action: 'sync', cqrsId: 'account', queue: 'shop', job: '7' },
    'INFO  ada asked for sync of account for queue shop (job 7)',
  ],
  'cqrs.admin.refused': [
    { user: 'bob', reason: 'Only operators may do this.' },
    'WARN  a request to the admin page was refused (bob): Only operators may do this.',
  ],
  'cqrs.admin.job-ended': [
    {
      job: '7',
      action: 'sync',
      cqrsId: 'account',
      user: 'ada',
      state: 'failed',
      counts: { sent: 2, failed: 1 },
      error: '1 row could not be sent.',
    },
    'WARN  job 7, sync of account: failed (2 sent, 1 failed): 1 row could not be sent.',
  ],
  'cqrs.admin.failed': [
    { endpoint: 'rows', error: new Error('boom') },
    'ERROR the admin page could not answer rows: Error: boom',
  ],
  'cqrs.worker.started': [{ worker: 1, pid: 99 }, 'INFO  worker 1 started (pid 99)'],
  'cqrs.worker.probes-served': [{ port: 8080 }, 'INFO  probes on port 8080: /healthz, /readyz, /metrics'],
  'cqrs.worker.stopping': [
    { reason: 'SIGTERM' },
    'INFO  SIGTERM: stopping once the work in hand is done; a second signal ends it at once',
  ],
  'cqrs.worker.reloading': [
    { reason: 'src/account.ts changed' },
    'WARN  src/account.ts changed: starting the workers again',
  ],
  'cqrs.worker.exited': [
    { worker: 1, code: null, restartInMs: 900 },
    'ERROR worker 1 was killed; it is started again in 900 ms',
  ],
};

function listen(options: LogOptions = {}): { events: Events; lines: string[]; close(): void } {
  const events = new Events();
  const lines: string[] = [];
  const log = logEvents(events, { write: (line) => lines.push(line), ...options });
  return { events, lines, close: () => log.close() };
}

const withoutTime = (line: string): string => line.replace(/^\S+Z /, '');

describe('log lines', () => {
  test.each(Object.entries(EXAMPLES))('%s', (name, [fields, expected]) => {
    const { events, lines, close } = listen({ level: 'debug' });
    events.emit(name as CqrsEventName, fields);
    close();
    expect(lines.map(withoutTime)).toEqual([expected]);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /);
  });

  test.each(Object.entries(EXAMPLES))('%s as JSON', (name, [fields]) => {
    const { events, lines, close } = listen({ level: 'debug', json: true, source: 'worker 1' });
    events.emit(name as CqrsEventName, fields);
    close();
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ event: name, source: 'worker 1', message: expect.any(String) });
  });

  test('the fields of an event are there for programs', () => {
    const { events, lines } = listen({ json: true });
    events.emit('cqrs.inbox.dead-lettered', { ...message, reason: 'max-retries', error: boom });
    expect(JSON.parse(lines[0]!)).toEqual({
      time: expect.any(String),
      level: 'error',
      event: 'cqrs.inbox.dead-lettered',
      message: 'SAVE of account 7 is a dead letter after 2 retries: max-retries: Error: boom',
      ...message,
      reason: 'max-retries',
      error: 'Error: boom',
    });
  });

  test('by default single messages are left out', () => {
    const { events, lines } = listen();
    events.emit('cqrs.inbox.applied', EXAMPLES['cqrs.inbox.applied'][0]);
    events.emit('cqrs.consumer.stopped', { queue: 'billing' });
    expect(lines).toHaveLength(1);
  });

  test('a level leaves out all below it', () => {
    const { events, lines, close } = listen({ level: 'error' });
    for (const [name, [fields]] of Object.entries(EXAMPLES)) events.emit(name as CqrsEventName, fields);
    close();
    expect(lines).toHaveLength(8);
    expect(lines.every((line) => line.includes(' ERROR '))).toBe(true);
  });

  test('batches come as one sum a queue', () => {
    const { events, lines, close } = listen();
    for (const lagMs of [5, 900, null]) {
      events.emit('cqrs.inbox.batch-applied', { queue: 'billing', count: 500, applied: 499, durationMs: 1, lagMs });
    }
    events.emit('cqrs.inbox.batch-applied', { queue: 'reports', count: 1, applied: 1, durationMs: 1, lagMs: null });
    expect(lines).toEqual([]);
    close();
    expect(lines.map(withoutTime)).toEqual([
      'INFO  1500 messages of billing done, 3 of them not applied, 900 ms behind at most',
      'INFO  1 message of reports done',
    ]);
  });

  test('sums are written by themselves, too', async () => {
    const written = Promise.withResolvers<string>();
    const { events } = listen({ intervalMs: 10, write: written.resolve });
    events.emit('cqrs.relay.published', { count: 3, lagMs: 1, durationMs: 1 });
    const alive = setInterval(() => {}, 1_000); // the log alone keeps no process running
    expect(withoutTime(await written.promise)).toBe('INFO  3 messages published, 1 ms behind at most');
    clearInterval(alive);
  });

  test('a flood of lines alike is cut short and counted', () => {
    const { events, lines, close } = listen();
    for (let count = 0; count < 500; count++) {
      events.emit('cqrs.inbox.dead-lettered', { ...message, instancePk: String(count), reason: 'mapping' });
    }
    events.emit('cqrs.inbox.dead-lettered', { ...message, reason: 'other' });
    expect(lines).toHaveLength(11);
    close();
    expect(withoutTime(lines[11]!)).toBe('ERROR 490 more like this: cqrs.inbox.dead-lettered account mapping');
    expect(lines).toHaveLength(12);
  });

  // claims: no-secrets
  test('what a driver quotes of a row is not repeated, in neither form', () => {
    const error = new UniqueConstraintViolationException(
      Object.assign(new Error("insert into account values ('ada@example.org')"), {
        code: '23505',
        detail: 'Key (email)=(ada@example.org) already exists.',
        constraint: 'account_email_unique',
      }),
    );
    for (const json of [false, true]) {
      const { events, lines } = listen({ json });
      events.emit('cqrs.inbox.dead-lettered', { ...message, reason: 'max-retries', error });
      expect(lines[0]).toContain('constraint account_email_unique');
      expect(lines[0]).not.toContain('ada@example.org');
    }
  });

  test('what comes from a message cannot forge a line', () => {
    const instancePk = '7\n2026 ERROR forged\u001b[2J\u009b2J\u007f';
    for (const json of [false, true]) {
      const { events, lines } = listen({ json });
      events.emit('cqrs.inbox.dead-lettered', { ...message, instancePk, reason: 'mapping' });
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toMatch(/[\n\u001b\u007f-\u009f]/);
      if (json) expect(JSON.parse(lines[0]!)).toMatchObject({ instancePk });
    }
  });

  test('nothing is written after it was closed', () => {
    const { events, lines, close } = listen();
    close();
    events.emit('cqrs.consumer.stopped', { queue: 'billing' });
    expect(lines).toEqual([]);
  });
});
