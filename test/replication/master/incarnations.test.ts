import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { liftSequence, raiseSequence } from '../../../src/messaging/outbox/incarnations.js';
import { BUCKETS, type Executor, LOCK_CLASS } from '../../../src/messaging/outbox/outbox.js';
import { setClock, SETTABLE_CLOCK } from '../../support/clock.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { code: p.string().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const SEQUENCE = '"cqrs_outbox_id_seq"';
let service: MasterService;
const client = () => service.orm.em.getConnection().getClient() as unknown as Executor;
/** Lifts it, and answers with what it is then. */
const lift = async () => {
  await liftSequence(client(), SEQUENCE);
  return liftSequence(client(), SEQUENCE);
};
const fork = () => service.orm.em.fork();
const incarnation = async (code: string): Promise<number> => {
  const [row] = await service.sql<{ i: string }>('select cqrs_incarnation::text as i from account where code = ?', [
    code,
  ]);
  return Number(row!.i);
};

beforeAll(async () => {
  service = await masterService([Account], { before: SETTABLE_CLOCK });
});
afterEach(async () => {
  await service.sql(setClock(0));
  await service.sql(`alter sequence ${SEQUENCE} restart`);
  await service.sql('delete from account /* cqrs */');
  await service.take();
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

/** Every way to begin a new incarnation of a key that has one. */
const ways: readonly [string, () => Promise<unknown>][] = [
  [
    'deleted and created again',
    async () => {
      await fork().nativeDelete(Account, 'k');
      await fork().insert(Account, { code: 'k', name: 'b' });
    },
  ],
  [
    'deleted and created again in one transaction',
    () =>
      fork().transactional(async (em) => {
        await em.nativeDelete(Account, 'k');
        await em.insert(Account, { code: 'k', name: 'b' });
      }),
  ],
  [
    'deleted and upserted',
    async () => {
      await fork().nativeDelete(Account, 'k');
      await fork().upsert(Account, { code: 'k', name: 'b' });
    },
  ],
  [
    'left by its row, and taken by another',
    async () => {
      await fork().nativeUpdate(Account, { code: 'k' }, { code: 'other' });
      await fork().insert(Account, { code: 'third', name: 'c' });
      await fork().nativeUpdate(Account, { code: 'third' }, { code: 'k' });
    },
  ],
  [
    'deleted and created again by raw SQL',
    async () => {
      await service.sql(`delete from account where code = 'k' /* cqrs */`);
      await service.sql(`insert into account (code, name) values ('k', 'b') /* cqrs */`);
    },
  ],
];

// claims: clock-back
describe('a clock that goes back by an hour', () => {
  test.each(ways)('a key that is %s has a greater incarnation', async (_, renew) => {
    await fork().insert(Account, { code: 'k', name: 'a' });
    const former = await incarnation('k');
    await lift();
    await service.sql(setClock(-3_600));
    await renew();
    expect(await incarnation('k')).toBeGreaterThan(former);
    const [row] = await service.sql<{ late: boolean }>(
      `select cqrs_incarnation > (extract(epoch from clock_timestamp()) * 1000000)::bigint + 3500 * 1000000::bigint as late from account where code = 'k'`,
    );
    expect(row!.late).toBe(true);
  });

  test('incarnations grow through any number of jumps', async () => {
    const given: number[] = [];
    for (const [step, seconds] of [0, -60, 5, -3_600, 60, -7_200, 0].entries()) {
      await service.sql(setClock(seconds));
      await fork().insertMany(
        Account,
        Array.from({ length: 3 }, (_, index) => ({ code: `${step} ${index}`, name: 'a' })),
      );
      given.push(...(await Promise.all([0, 1, 2].map((index) => incarnation(`${step} ${index}`)))));
      await lift();
    }
    expect(given).toEqual([...new Set(given)].toSorted((a, b) => a - b));
  });
});

describe('the sequence', () => {
  test('is lifted to two seconds ahead of the clock, and never goes back', async () => {
    const first = await lift();
    expect(first.sequence - first.clock).toBeGreaterThan(1_700_000);
    expect(first.sequence - first.clock).toBeLessThanOrEqual(2_000_000);
    await service.sql(setClock(-3_600));
    const back = await lift();
    expect(back.sequence).toBeGreaterThanOrEqual(first.sequence);
    expect(back.sequence - back.clock).toBeGreaterThan(3_500_000_000);
  });

  test('is not lifted to a clock of after 2200', async () => {
    const before = await lift();
    await service.sql(setClock(200 * 366 * 86_400));
    expect((await lift()).sequence - before.sequence).toBeLessThan(60_000_000);
  });

  test('is lifted by one relay at a time, and waits for nobody', async () => {
    const other = new pg.Client({ connectionString: service.orm.config.get('clientUrl') });
    await other.connect();
    await other.query('begin');
    await other.query(`select pg_advisory_xact_lock(${LOCK_CLASS}, ${BUCKETS})`);
    await service.sql(setClock(30));
    const before = await lift();
    expect((await lift()).sequence).toBe(before.sequence);
    await other.end();
    await service.sql(setClock(60));
    expect((await lift()).sequence).toBeGreaterThan(before.sequence);
  });

  test('is raised over what replicas have, and not when it is there already', async () => {
    const { sequence } = await lift();
    await service.orm.em.getConnection().transactional(async (transaction) => {
      const executor = transaction as unknown as Executor;
      expect(await raiseSequence(executor, SEQUENCE, sequence - 5)).toBe(false);
      expect(await raiseSequence(executor, SEQUENCE, sequence + 9_000_000)).toBe(true);
    });
    await fork().insert(Account, { code: 'k', name: 'a' });
    expect(await incarnation('k')).toBeGreaterThan(sequence + 9_000_000);
  });
});

describe('what is told at start', () => {
  const problems = async (...statements: string[]): Promise<unknown> => {
    for (const statement of statements) await service.sql(statement);
    return service.cqrs.check().then(
      () => [],
      (error: { problems: { where: string; what: string; cure: string }[] }) =>
        error.problems.map(({ what, cure }) => `${what} ${cure}`),
    );
  };

  test('a role that may insert rows and not use the sequence, with the grant', async () => {
    const role = `cqrs_python_${process.pid}`;
    const as = async (sql: string): Promise<unknown> => {
      const connection = new pg.Client({ connectionString: service.orm.config.get('clientUrl') });
      await connection.connect();
      try {
        await connection.query(`set role ${role}`);
        return await connection.query(sql);
      } finally {
        await connection.end();
      }
    };
    await service.sql(`create role ${role}`);
    try {
      await service.sql(`grant usage on schema fake to ${role}`);
      await service.sql(`grant select on fake.clock to ${role}`);
      expect(await problems(`grant select, insert on account to ${role}`)).toEqual([
        `the role ${role} may insert into "account" and not use the sequence ${SEQUENCE}: its INSERTs fail. Run: grant usage on sequence ${SEQUENCE} to ${role}`,
      ]);
      const insert = `insert into account (code, name) values ('p', 'python')`;
      await expect(as(insert)).rejects.toThrow(/permission denied for sequence/);
      expect(await problems(`grant usage on sequence ${SEQUENCE} to ${role}`)).toEqual([]);
      await as(insert);
      expect(await incarnation('p')).toBeGreaterThan(0);
    } finally {
      await service.sql(`drop owned by ${role}`);
      await service.sql(`drop role ${role}`);
    }
  });

  test.each([
    [`alter sequence ${SEQUENCE} cache 20`, `alter sequence ${SEQUENCE} cache 1`, /takes 20 numbers .* at a time/],
    [
      `alter table account alter cqrs_incarnation set default (extract(epoch from clock_timestamp()) * 1000000)::bigint`,
      `alter table account alter cqrs_incarnation set default greatest((extract(epoch from clock_timestamp()) * 1000000)::bigint, nextval('cqrs_outbox_id_seq'))`,
      /whatever the clock does/,
    ],
  ])('%s', async (wrong, right, expected) => {
    expect(await problems(wrong)).toEqual([expect.stringMatching(expected)]);
    expect(await problems(right)).toEqual([]);
  });
});
