import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { parseJson, type WireObject } from '../../src/wire/values.js';
import { Cqrs } from '../../src/cqrs.js';
import {
  type Letter,
  type LetterSelection,
  purgeLetters,
  putBack,
  dryRunLetter,
  selectLetters,
} from '../../src/operations/dead-letters.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const FailingSchema = defineEntity({
  name: 'FailingRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string().length(20) },
});
class FailingRef extends replicaClass(FailingSchema) {
  static override CQRS_ID = 'failing';
}
FailingSchema.setClass(FailingRef);

const golden = (name: string): string => readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8').trimEnd();
const pythons = golden('cqrs_dead_letters_dump.txt');

const exchange = uniqueName('letters');
const queue = `${exchange}_replica`;
const deadLetterQueue = `dead_letter_${queue}`;
let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;

beforeAll(async () => {
  database = await createDatabase();
  cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange, queue });
  orm = await MikroORM.init({ clientUrl: database.url, entities: [FailingRef], extensions: [cqrs] });
  await orm.schema.create();
  await consume(0);
});
beforeEach(async () => {
  await purgeLetters(cqrs);
  await orm.em.execute('delete from failing_ref');
  await orm.em.execute('alter table failing_ref alter column name type varchar(20)');
});
afterAll(async () => {
  await cqrs.stop();
  await orm.close();
  await deleteTopology(exchange, [queue, deadLetterQueue, `unreadable_${queue}`]);
  await database.drop();
});

/** Runs a worker until that many messages have come to their end. */
async function consume(count: number): Promise<string[]> {
  const ends: string[] = [];
  const enough = Promise.withResolvers<void>();
  const off = cqrs.events.onAny((name, fields) => {
    if (!/^cqrs\.inbox\.(applied|skipped|dead-lettered)$/.test(name)) return;
    ends.push('reason' in fields ? fields.reason : name);
    if (ends.length === count) enough.resolve();
  });
  const consumer = cqrs.createConsumer();
  await consumer.start();
  if (count > 0) await enough.promise;
  await consumer.stop();
  off();
  return ends;
}

/** Of others, which a message keeps. */
const THEIRS = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };

/** Where a Python worker, or ours, puts dead letters. */
async function bury(...bodies: string[]): Promise<void> {
  await cqrs.connect();
  const route = { cqrsId: 'failing', queue: deadLetterQueue };
  const results = await cqrs.transport.publish(bodies.map((body) => ({ route, body, headers: THEIRS })));
  expect(results).toEqual(bodies.map(() => 'confirmed'));
}

function bodyOf(id: number, { data = {}, ...over }: WireObject & { data?: WireObject } = {}): string {
  const message = parseJson(pythons) as Record<string, WireObject>;
  const instanceData = { ...message['instance_data'], id, name: `f${id}`, ...(data as object) };
  return JSON.stringify({ ...message, instance_data: instanceData, instance_pk: id, ...over });
}

async function letters(selection: LetterSelection = {}): Promise<Letter[]> {
  const found: Letter[] = [];
  for await (const { letter } of selectLetters(cqrs, selection)) found.push(letter);
  return found;
}

async function keys(selection: LetterSelection = {}): Promise<(string | null)[]> {
  return (await letters(selection)).map((letter) => letter.instancePk);
}

describe("django-cqrs's dead letters", () => {
  test('are shown as they are, and stay', async () => {
    await bury(pythons);
    for (const _ of ['first', 'second']) {
      const [letter, ...others] = await letters();
      expect(others).toEqual([]);
      expect(letter).toMatchObject({
        body: pythons,
        cqrsId: 'failing',
        signalType: 'SAVE',
        instancePk: '3',
        reason: null,
      });
      expect(letter!.since).toEqual(new Date('2026-11-21T00:08:50.121Z'));
    }
  });

  test('go back as its own command puts them back, and are applied', async () => {
    await bury(pythons);
    const now = new Date('2026-11-21T00:08:56.700Z');
    const heard = new Promise<string>((resolve) => {
      void cqrs.transport
        .consume(
          {
            queue,
            deadLetterQueue,
            unreadableQueue: `unreadable_${queue}`,
            cqrsIds: [],
            prefetch: 1,
            deadLetterTtlMs: null,
          },
          (delivery) => {
            expect([delivery.cqrsId, delivery.direct, delivery.headers]).toEqual(['failing', true, THEIRS]);
            resolve(new TextDecoder().decode(delivery.body));
            void delivery.ack();
          },
        )
        .then((subscription) => heard.then(() => subscription.cancel()));
    });
    for await (const found of selectLetters(cqrs)) await putBack(cqrs, found, now);
    const [, , recorded] = golden('cqrs_dead_letters_retry.txt').split('\n');
    expect(await heard).toBe(recorded);
    expect(await letters()).toEqual([]);
  });
});

// claims: meta-kept
test('a message that never works is found with its reason, mended, and applied without a trace of its death', async () => {
  const meta = { tenant: 1, cqrs: { reason: 'theirs' } };
  await cqrs.transport.publish([
    {
      route: { cqrsId: 'failing', queue: null },
      body: bodyOf(7, { meta, data: { name: 'much too long for the column' } }),
    },
  ]);
  expect(await consume(1)).toEqual(['mapping']);
  const [letter] = await letters();
  expect(letter).toMatchObject({ reason: 'mapping', instancePk: '7', error: expect.stringMatching(/SQLSTATE 22001/) });
  expect(letter!.error).not.toContain('much too long');
  expect(Date.now() - letter!.since!.getTime()).toBeLessThan(60_000);

  await orm.em.execute('alter table failing_ref alter column name type varchar(100)');
  for await (const found of selectLetters(cqrs)) {
    expect(await dryRunLetter(cqrs, found)).toMatchObject({ kind: 'applied', action: 'create' });
    await putBack(cqrs, found);
  }
  expect(await orm.em.execute('select 1 from failing_ref')).toEqual([]);
  {
    await using waiting = await cqrs.transport.openDeadLetters({ queue, deadLetterQueue: queue });
    const [back] = await waiting!.take(1);
    expect(JSON.parse(new TextDecoder().decode(back!.body)).meta).toEqual(meta);
  }
  expect(await consume(1)).toEqual(['cqrs.inbox.applied']);
  expect(await orm.em.execute('select id from failing_ref')).toEqual([{ id: 7 }]);
});

test('letters are selected by id, entity, key, reason and age, alone and together', async () => {
  const failed = (hoursAgo: number, reason: string): WireObject => ({
    cqrs: {
      reason,
      error: `Error: ${reason} went wrong`,
      failedAt: new Date(Date.now() - hoursAgo * 3_600_000).toISOString(),
    },
  });
  await bury(
    bodyOf(1, { meta: failed(1, 'mapping') }),
    bodyOf(2, { meta: failed(5, 'max-retries') }),
    bodyOf(3, { meta: failed(9, 'mapping'), cqrs_id: 'other' }),
    'no JSON',
  );
  const all = await letters();
  expect(all.map(({ instancePk, reason }) => [instancePk, reason])).toEqual([
    ['1', 'mapping'],
    ['2', 'max-retries'],
    ['3', 'mapping'],
    [null, 'unreadable'],
  ]);
  expect(await keys({ ids: [all[1]!.id.slice(0, 6)] })).toEqual(['2']);
  expect(await keys({ cqrsIds: ['other'] })).toEqual(['3']);
  expect(await keys({ keys: ['1', '3'] })).toEqual(['1', '3']);
  expect(await keys({ reason: 'MAPPING went' })).toEqual(['1', '3']);
  expect(await keys({ olderThanSeconds: 4 * 3_600 })).toEqual(['2', '3']);
  expect(await keys({ newerThanSeconds: 6 * 3_600 })).toEqual(['1', '2']);
  expect(await keys({ reason: 'mapping', olderThanSeconds: 3_600 * 4 })).toEqual(['3']);
  expect(await keys({ ids: ['zz'] })).toEqual([]);
});

test('a dry run says what would become of each, and changes nothing', async () => {
  await bury(
    bodyOf(1),
    bodyOf(2, { data: { name: 'much too long for the column' } }),
    bodyOf(3, { cqrs_id: 'unknown' }),
    '{',
  );
  const outcomes: unknown[] = [];
  for await (const found of selectLetters(cqrs)) outcomes.push(await dryRunLetter(cqrs, found));
  expect(outcomes).toMatchObject([
    { kind: 'applied', action: 'create' },
    { kind: 'dead-letter', reason: 'mapping' },
    { kind: 'dead-letter', reason: 'unknown-cqrs-id' },
    { kind: 'dead-letter', reason: 'unreadable' },
  ]);
  expect(await orm.em.execute('select id from failing_ref')).toEqual([]);
  expect(await letters()).toHaveLength(4);
});

test('any number of letters is paged through, in order, and only the chosen ones leave', async () => {
  await bury(...Array.from({ length: 450 }, (_, index) => bodyOf(index)));
  for await (const { letter, hand } of selectLetters(cqrs)) if (Number(letter.instancePk) % 3 === 0) await hand.purge();
  expect(await keys()).toEqual(
    Array.from({ length: 450 }, (_, index) => String(index)).filter((key) => Number(key) % 3 !== 0),
  );
});

test('a letter that cannot be put back stays', async () => {
  await bury(bodyOf(1));
  await using hand = await cqrs.transport.openDeadLetters({ queue: `${queue}_gone`, deadLetterQueue });
  const [letter] = await hand!.take(1);
  await expect(letter!.putBack('{}')).rejects.toThrow(/no queue/);
  await hand![Symbol.asyncDispose]();
  expect(await letters()).toMatchObject([{ instancePk: '1' }]);
});

test('all are removed at once; a queue that does not exist has none', async () => {
  await bury(bodyOf(1), bodyOf(2));
  expect(await purgeLetters(cqrs)).toBe(2);
  expect(await letters()).toEqual([]);
  for await (const _ of selectLetters(cqrs, { queue: 'never_was' })) throw new Error('there is none');
  expect(await purgeLetters(cqrs, { queue: 'never_was' })).toBe(0);
});
