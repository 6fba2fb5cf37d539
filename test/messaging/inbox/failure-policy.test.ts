import { describe, expect, test } from '@jest/globals';
import { InvalidPayloadError, MappingError } from '../../../src/kernel/errors.js';
import { TransportPayload } from '../../../src/wire/payload.js';
import { settingsOrThrow, type SettingsInput } from '../../../src/kernel/settings.js';
import { decide, type Failure, type Verdict } from '../../../src/messaging/inbox/failure-policy.js';
import type { RetryRules } from '../../../src/messaging/inbox/handler.js';

const now = new Date('2026-11-21T12:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000);
const boom = new Error('boom');
const databaseError = (code: string): Error => Object.assign(new Error('from the database'), { code });

interface Case {
  readonly outcome?: Failure['outcome'];
  readonly error?: Error;
  readonly retries?: number;
  readonly expires?: Date | null;
  readonly waitingSince?: Date;
  readonly settings?: SettingsInput['replica'];
  readonly rules?: RetryRules;
}

function judge({
  outcome,
  error = boom,
  retries = 0,
  expires = null,
  waitingSince,
  settings = {},
  rules,
}: Case): Verdict {
  return decide({
    payload: new TransportPayload({
      signalType: 'SAVE',
      cqrsId: 'account',
      instanceData: { id: 1, cqrs_revision: 0, cqrs_updated: '2026-11-21 11:00:00+00:00' },
      retries,
      expires,
    }),
    outcome: outcome ?? { kind: 'failed', error },
    waitingSince: waitingSince ?? null,
    rules,
    settings: settingsOrThrow({ replica: settings }).replica,
    now,
  });
}

const retry = (delayMs: number, rest: object = {}): object => ({
  kind: 'retry',
  delayMs,
  countsAsRetry: true,
  ...rest,
});
const uncounted = (delayMs: number, rest: object = {}): object => retry(delayMs, { countsAsRetry: false, ...rest });
const deadLetter = (reason: string): object => ({ kind: 'dead-letter', reason });

const cases: [string, Case, object][] = [
  // attempts
  ['a first failure is tried again after the default two seconds', {}, retry(2_000, { reason: 'failed', error: boom })],
  ['the last retry of thirty is still made', { retries: 29 }, retry(2_000)],
  ['after thirty retries it is over', { retries: 30 }, deadLetter('max-retries')],
  ['maxRetries 3 allows the third retry', { retries: 2, settings: { maxRetries: 3 } }, retry(2_000)],
  [
    'maxRetries 3 ends after the fourth attempt',
    { retries: 3, settings: { maxRetries: 3 } },
    deadLetter('max-retries'),
  ],
  ['maxRetries 0 never tries again', { settings: { maxRetries: 0 } }, deadLetter('max-retries')],
  ['maxRetries null goes on for ever', { retries: 1e6, settings: { maxRetries: null } }, retry(2_000)],
  ['for ever ends with the message itself', { expires: ago(1), settings: { maxRetries: null } }, deadLetter('expired')],
  ['an expired message keeps its attempts', { retries: 2, expires: ago(1) }, retry(2_000)],
  ['it is its attempts that end it, not its time', { retries: 30, expires: ago(1) }, deadLetter('max-retries')],
  ['the delay is a setting', { settings: { retryDelaySeconds: 0.25 } }, retry(250)],
  // the entity's own rules
  ['an entity may ask for more retries', { retries: 30, rules: { shouldRetryCqrs: () => true } }, retry(2_000)],
  ['an entity may leave every rule to the settings', { rules: {} }, retry(2_000, { error: boom })],
  [
    'an entity may refuse retries though they have no limit',
    { settings: { maxRetries: null }, rules: { shouldRetryCqrs: () => false } },
    deadLetter('max-retries'),
  ],
  ['an entity may refuse retries', { rules: { shouldRetryCqrs: () => false } }, deadLetter('max-retries')],
  [
    'an entity is told how often and why it failed',
    { retries: 7, rules: { shouldRetryCqrs: (retries, error) => retries === 7 && error === boom } },
    retry(2_000),
  ],
  [
    'an entity may set the delay',
    { retries: 3, rules: { getCqrsRetryDelay: (retries) => retries * 10 } },
    retry(30_000),
  ],
  ['a delay of 0 is one', { rules: { getCqrsRetryDelay: () => 0 } }, retry(0)],
  ['a delay that is no time is replaced by the setting', { rules: { getCqrsRetryDelay: () => NaN } }, retry(2_000)],
  ['a negative delay is replaced by the setting', { rules: { getCqrsRetryDelay: () => -1 } }, retry(2_000)],
  ['no delay is longer than a broker can count', { rules: { getCqrsRetryDelay: () => Infinity } }, retry(2 ** 31 - 1)],
  ['a delay rule that throws is replaced by the setting', { rules: { getCqrsRetryDelay: fail } }, retry(2_000)],
  [
    'a retry rule that throws is replaced by the setting',
    { rules: { shouldRetryCqrs: fail } },
    retry(2_000, { reason: 'failed' }),
  ],
  ['and still ends', { retries: 30, rules: { shouldRetryCqrs: fail } }, deadLetter('max-retries')],
  // never again
  ['a message that cannot be mapped', { error: new MappingError('account', 'no name') }, deadLetter('mapping')],
  ['a message that breaks the contract', { error: new InvalidPayloadError('no') }, deadLetter('invalid-payload')],
  [
    'not even when the entity would like to',
    { error: new MappingError('account', 'no name'), rules: { shouldRetryCqrs: () => true } },
    deadLetter('mapping'),
  ],
  [
    'a verdict of the handler',
    { outcome: { kind: 'dead-letter', reason: 'too-old-to-create' } },
    deadLetter('too-old-to-create'),
  ],
  // not its fault
  [
    'a deadlock does not count',
    { error: databaseError('40P01'), retries: 30 },
    uncounted(2_000, { reason: 'conflict' }),
  ],
  ['nor does a serialization failure', { error: databaseError('40001') }, uncounted(2_000)],
  ['however deep it is wrapped', { error: new Error('x', { cause: databaseError('40001') }) }, uncounted(2_000)],
  [
    'a connection that fails inside a hook counts',
    { error: databaseError('ECONNREFUSED'), retries: 30 },
    deadLetter('max-retries'),
  ],
  [
    'nor do keys that another worker holds',
    { outcome: { kind: 'failed', error: boom, reason: 'keys-held' }, retries: 30 },
    uncounted(2_000, { reason: 'keys-held' }),
  ],
  // foreign keys
  [
    'a missing foreign key does not count',
    { error: databaseError('23503'), retries: 30 },
    uncounted(2_000, { waitingSince: now }),
  ],
  [
    'the handler may know it without the database',
    { outcome: { kind: 'failed', error: boom, reason: 'foreign-key' } },
    uncounted(2_000, { waitingSince: now, reason: 'foreign-key' }),
  ],
  [
    'its wait is counted from the first time',
    { error: databaseError('23503'), waitingSince: ago(3_599) },
    uncounted(64_000, { waitingSince: ago(3_599) }),
  ],
  [
    'a first time that is still to come does not make it endless',
    { error: databaseError('23503'), waitingSince: ago(-1_000_000) },
    uncounted(2_000, { waitingSince: now }),
  ],
  ['after an hour it is over', { error: databaseError('23503'), waitingSince: ago(3_600) }, deadLetter('foreign-key')],
  [
    'the hour is a setting',
    { error: databaseError('23503'), waitingSince: ago(9), settings: { foreignKeyWaitSeconds: 10 } },
    uncounted(8_000),
  ],
  [
    'the longer it waited, the rarer it asks',
    { error: databaseError('23503'), waitingSince: ago(4) },
    uncounted(4_000),
  ],
  ['an expired message waits as long', { error: databaseError('23503'), expires: ago(1) }, uncounted(2_000)],
  [
    'a first time in the future is no wait at all',
    { error: databaseError('23503'), waitingSince: ago(-500) },
    uncounted(2_000),
  ],
];

describe('the failure policy', () => {
  test.each(cases)('%s', (_, given, expected) => {
    expect(judge(given)).toMatchObject(expected);
  });

  test('a retry rule that throws is named as what failed', () => {
    expect(judge({ rules: { shouldRetryCqrs: fail } })).toMatchObject({
      error: { message: expect.stringContaining('shouldRetryCqrs threw'), cause: boom },
    });
  });
});

function fail(): never {
  throw new Error('a slip');
}
