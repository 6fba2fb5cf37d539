import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql';
import { ActivityRow, type Executor, record } from '../../src/activity/activity-table.js';
import {
  deadLetterTimes,
  Deaths,
  deathPeriodSeconds,
  findExpiringByQueue,
  mayWarn,
} from '../../src/activity/deaths.js';
import { Events } from '../../src/kernel/events.js';
import { settingsOrThrow } from '../../src/kernel/settings.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const DAY = 86_400;
const message = { queue: 'shop', cqrsId: 'account', signalType: 'SAVE', instancePk: '7', retries: 0 } as const;

let database: TestDatabase;
let orm: MikroORM;
let executor: Executor;
beforeAll(async () => {
  database = await createDatabase();
  orm = await MikroORM.init({ clientUrl: database.url, entities: [ActivityRow] });
  await orm.schema.create();
  executor = (orm.em as EntityManager).getKysely() as unknown as Executor;
});
afterAll(async () => {
  await orm.close();
  await database.drop();
});

/** Lets messages die so long ago, and writes it down as a process does. */
async function die(queue: string, count: number, hoursAgo: number): Promise<void> {
  const events = new Events();
  const deaths = new Deaths(events, 3_600, () => Date.now() - hoursAgo * 3_600_000);
  for (let index = 0; index < count; index++) {
    events.emit('cqrs.inbox.dead-lettered', { ...message, queue, reason: 'mapping' });
  }
  await record(executor, 'cqrs_activity', deaths.rows(`process ${hoursAgo}`));
  deaths.written();
  expect(deaths.rows('process')).toEqual([]);
  deaths.close();
}

test('those whose time is nearly over are told by queue, with the first; the young and the dropped are not', async () => {
  await die('shop', 5, 30); // young
  await die('shop', 3, 9.5 * 24); // half a day left of ten
  await die('shop', 4, 9.75 * 24);
  await die('shop', 100, 11 * 24); // dropped yesterday
  await die('other', 1, 1);
  const found = await findExpiringByQueue(executor, 'cqrs_activity', { ttlSeconds: 10 * DAY, warningSeconds: DAY });
  expect(Object.keys(found)).toEqual(['shop']);
  expect(found['shop']!.count).toBe(7);
  // By the hour: the first has a quarter of a day at most.
  expect(found['shop']!.firstInSeconds).toBeGreaterThan(4.5 * 3_600);
  expect(found['shop']!.firstInSeconds).toBeLessThanOrEqual(6 * 3_600);
});

test('the warning comes at most half of a life before the end', async () => {
  await die('short', 2, 1);
  const { replica } = settingsOrThrow({
    replica: { deadLetterTtlSeconds: 4 * 3_600, deadLetterWarningSeconds: DAY },
  });
  const times = deadLetterTimes(replica)!;
  expect(await findExpiringByQueue(executor, 'cqrs_activity', times)).not.toHaveProperty('short');
  await die('short', 2, 3);
  expect(await findExpiringByQueue(executor, 'cqrs_activity', times)).toMatchObject({ short: { count: 2 } });
});

test('deaths are told apart by the hour, and better where letters live for less than a day', () => {
  const period = (deadLetterTtlSeconds: number | null) =>
    deathPeriodSeconds(settingsOrThrow({ replica: { deadLetterTtlSeconds } }).replica);
  expect([null, 10 * DAY, DAY, 7_200, 30, 1].map(period)).toEqual([3_600, 3_600, 3_600, 300, 1, 1]);
});

test('of all processes one warns, and again only after a while', async () => {
  const ask = () => mayWarn(executor, 'cqrs_activity', 'expiring shop', 3_600);
  expect((await Promise.all([ask(), ask(), ask()])).filter(Boolean)).toHaveLength(1);
  expect(await ask()).toBe(false);
  await (orm.em as EntityManager).execute(
    `update cqrs_activity set at = at - interval '2 hours' where kind = 'warning'`,
  );
  expect(await ask()).toBe(true);
});
