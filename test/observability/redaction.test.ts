import { describe, expect, test } from '@jest/globals';
import { describeError } from '../../src/kernel/describe-error.js';
import * as errors from '../../src/kernel/errors.js';
import { Events, type CqrsEventName, type CqrsEvents } from '../../src/kernel/events.js';
import { WORDS } from '../../src/observability/log-lines.js';
import { logEvents } from '../../src/observability/logging.js';
import { DatabaseError, withoutValues } from '../../src/replication/replica/rows/database-errors.js';
import { brokerError, connectionError } from '../../src/brokers/rabbitmq/broker-error.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';

const ROW = 'S3CRET-ROW';
const PASSWORD = 'S3CRET-PASSWORD';
const USER = 'S3CRET-USER';

/** Errors as drivers, MikroORM and the broker throw them, with what they quote. */
const database = Object.assign(new Error(`duplicate key value violates unique constraint: ${ROW}`), {
  code: '23505',
  severity: 'ERROR',
  detail: `Key (name)=(${ROW}) already exists.`,
  table: 'account',
});
const QUOTING: Readonly<Record<string, Error>> = {
  'of PostgreSQL': database,
  'of MikroORM about it': Object.assign(
    new Error(`insert into account values ('${ROW}') - ${database.message}`, { cause: database }),
    { name: 'UniqueConstraintViolationException', code: '23505', severity: 'ERROR' },
  ),
  "of MikroORM's validation": Object.assign(new Error(`Trying to set Account.at of type 'date' to '${ROW}'`), {
    name: 'ValidationError',
  }),
  'of RabbitMQ': brokerError('amqp://host/', 'publishing', new Error(`ACCESS_REFUSED for user '${USER}'`)),
  'of RabbitMQ, which refuses': connectionError('amqp://host/', new Error(`ACCESS_REFUSED - user '${USER}'`)),
  'of the database, cleaned': withoutValues(database) as Error,
};

/** Every field that any event has. */
const FIELDS = {
  holders: [],
  count: 1,
  added: ['status'],
  removed: [],
  cqrsIds: ['account'],
  entity: 'Account',
  reason: 'a reason',
  cure: 'a cure',
  owner: 'relay-1',
  lagMs: 1,
  cqrsId: 'account',
  signalType: 'SAVE',
  queue: 'shop',
  outboxId: '1',
  retryInMs: 1,
  broker: 'host',
  missing: 'queue',
  instancePk: '7',
  retries: 1,
  action: 'create',
  delayMs: 1,
  bytes: 1,
  applied: 1,
  version: { incarnation: 1, revision: 1, updated: 1 },
  durationMs: 1,
  aheadMs: 1,
  where: 'x',
  what: 'y',
  counts: { rows: 1 },
  port: 1,
  doing: 'writing',
  timeoutMs: 1,
  worker: 1,
  pid: 1,
  code: 1,
  restartInMs: 1,
};

describe.each(Object.keys(WORDS) as CqrsEventName[])('%s', (name) => {
  test.each(Object.entries(QUOTING))('says nothing that an error %s quotes', (_, error) => {
    for (const json of [false, true]) {
      const events = new Events();
      const lines: string[] = [];
      const log = logEvents(events, { level: 'debug', json, write: (line) => lines.push(line) });
      // A job tells its error in words already.
      const told = name === 'cqrs.admin.job-ended' ? describeError(error) : error;
      events.emit(name, { ...FIELDS, error: told } as unknown as CqrsEvents[typeof name]);
      log.close();
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.join('\n')).not.toContain('S3CRET');
    }
  });
});

describe('errors of this library', () => {
  const cause = database;
  const samples: Readonly<Record<string, Error>> = {
    ConfigurationError: new errors.ConfigurationError([{ where: 'Account', what: 'is wrong.', cure: 'Mend it.' }]),
    UnknownCqrsIdError: new errors.UnknownCqrsIdError('ghost', ['account']),
    InvalidPayloadError: new errors.InvalidPayloadError('no', {}, { cause }),
    MappingError: new errors.MappingError('account', 'no', {}, { cause }),
    TransportError: new errors.TransportError('no', {}, { cause }),
    MessageRefusedError: new errors.MessageRefusedError('no', false, {}, { cause }),
    DatabaseUnreachableError: new errors.DatabaseUnreachableError('postgresql://host/', 'no', { cause }),
    InputError: new errors.InputError('The stream is empty.', 'Give one.', { cause }),
    ReplicaAnswerError: new errors.ReplicaAnswerError('shop', 'refused', 'Look at its log.', { cause }),
    UnsupportedWriteError: new errors.UnsupportedWriteError('Account', 'no', 'Do not.', {}, { cause }),
  };

  test('all are looked at', () => {
    const concrete = Object.keys(errors).filter((name) => name !== 'CqrsError');
    expect(Object.keys(samples).toSorted()).toEqual(concrete.toSorted());
  });

  test.each(Object.entries(samples))('%s in words, and as data, does not quote its cause', (_, error) => {
    expect(describeError(error)).not.toContain('S3CRET');
    expect(JSON.stringify({ ...(error as object), message: error.message })).not.toContain('S3CRET');
  });

  test('an error of the database names parts of the schema only', () => {
    const clean = withoutValues(database);
    expect(clean).toBeInstanceOf(DatabaseError);
    expect(JSON.stringify({ ...(clean as object), message: (clean as Error).message })).not.toContain(ROW);
    expect((clean as DatabaseError).table).toBe('account');
  });
});

test.each([
  `amqp://${USER}:${PASSWORD}@host:notaport/`,
  `http://${USER}:${PASSWORD}@host/`,
  `amqp://${USER}:${PASSWORD}@host/?unknown=1`,
  `amqp://${USER}:${PASSWORD}%zz@host/`,
  `${USER}:${PASSWORD}`,
])('a URL that cannot be used is refused without being quoted, number %#', (url) => {
  let thrown: unknown;
  try {
    thrown = new RabbitMQTransport({ url });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(errors.ConfigurationError);
  expect(`${String(thrown)} ${JSON.stringify(thrown)}`).not.toContain('S3CRET');
});

// claims: no-secrets
test('a URL that can be used is named without user and password', () => {
  const transport = new RabbitMQTransport({ url: `amqp://${USER}:${PASSWORD}@host:1/v` });
  expect(transport.brokers).toEqual(['amqp://host:1/v']);
});
