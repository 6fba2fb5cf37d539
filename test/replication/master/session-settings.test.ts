import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, MikroORM, p, type SqlEntityManager } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/cqrs.js';
import { driverType } from '../../../src/replication/master/definition/driver-values.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { RowSettings } from '../../../src/replication/master/checks/session-settings.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const ShiftSchema = defineEntity({
  name: 'Shift',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    begin: p.datetime().length(6).nullable(),
    day: p.date().nullable(),
    duration: p.string().columnType('interval').nullable(),
    breaks: p.string().columnType('interval[]').nullable(),
    ratio: p.double().nullable(),
    photo: p.blob().nullable(),
    pay: p.string().columnType('money').nullable(),
  },
});
class Shift extends masterClass(ShiftSchema) {
  static override CQRS_ID = 'shift';
  static override CQRS_TRACKED_FIELDS = ['begin'];
}
ShiftSchema.setClass(Shift);

const PlainSchema = defineEntity({
  name: 'Plain',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Plain extends masterClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(Plain);

const MomentSchema = defineEntity({
  name: 'Moment',
  extends: MasterEntity,
  properties: { at: p.datetime().length(6).primary(), note: p.string() },
});
class Moment extends masterClass(MomentSchema) {
  static override CQRS_ID = 'moment';
}
MomentSchema.setClass(Moment);

const SETTINGS = [
  ['DateStyle', 'German'],
  ['DateStyle', 'SQL, MDY'],
  ['DateStyle', 'Postgres'],
  ['IntervalStyle', 'sql_standard'],
  ['IntervalStyle', 'iso_8601'],
  ['IntervalStyle', 'postgres_verbose'],
  ['extra_float_digits', '0'],
  ['extra_float_digits', '-3'],
  ['bytea_output', 'escape'],
] as const;

const CHANGES: Readonly<Record<string, (em: EntityManager, name: string, value: string) => Promise<unknown>>> = {
  'SET LOCAL': (em, name, value) => execute(em, `set local ${name} = '${value}'`),
  set_config: (em, name, value) => execute(em, `select set_config('${name}', '${value}', true)`),
  'a function': (em, name, value) => execute(em, `do $$ begin perform set_config('${name}', '${value}', true); end $$`),
};

function execute(em: EntityManager, sql: string): Promise<unknown> {
  return (em as SqlEntityManager).execute(sql);
}

const VALUES = {
  begin: new Date('2026-01-02T03:04:05.678Z'),
  day: '2026-01-02',
  duration: '-1 day -02:03:04',
  breaks: '{"-1 day -01:00"}',
  ratio: 0.30000000000000004,
  photo: Buffer.from([0, 255]),
};

const WRITES: Readonly<Record<string, (em: EntityManager, id: number) => Promise<unknown>>> = {
  'flush of one': async (em, id) => {
    em.create(Shift, { id, ...VALUES });
    await em.flush();
  },
  'flush of several': async (em, id) => {
    for (const each of [id, id + 1]) em.create(Shift, { id: each, ...VALUES });
    await em.flush();
  },
  nativeUpdate: (em) => em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-03' }),
  nativeDelete: (em) => em.nativeDelete(Shift, { id: 1 }),
  upsert: (em) => em.upsert(Shift, { id: 1, ...VALUES } as never),
};

let service: MasterService;
let nextId = 100;
beforeAll(async () => {
  service = await masterService([Shift, Plain, Moment], { settings: { relay: { enabled: false } } });
  await service.cqrs.start();
});
afterAll(async () => {
  await service.cqrs.stop();
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.orm.em.fork().nativeDelete(Shift, {});
  await service.orm.em.fork().insert(Shift, { id: 1, ...VALUES } as never);
  await service.take();
});

const rows = (): Promise<unknown[]> => service.sql('select *, duration::text as text from shift order by id');

describe.each(SETTINGS)('a transaction that has set %s to %s', (name, value) => {
  test.each(Object.keys(CHANGES))('by %s: a write is refused, and nothing of it is kept', async (how) => {
    const before = await rows();
    for (const write of Object.values(WRITES)) {
      const id = (nextId += 2);
      const done = service.orm.em.fork().transactional(async (em) => {
        await CHANGES[how]!(em, name, value);
        await write(em, id);
      });
      await expect(done).rejects.toMatchObject({
        name: 'UnsupportedWriteError',
        data: { entity: 'Shift', setting: name },
      });
    }
    expect(await rows()).toEqual(before);
    expect(await service.take()).toEqual([]);
  });

  test('whose owner swallows the error cannot commit', async () => {
    const em = service.orm.em.fork();
    await em.begin();
    await execute(em, `set local ${name} = '${value}'`);
    await expect(em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-03' })).rejects.toThrow(name);
    await em.commit().catch(() => {});
    expect(await service.sql(`select day::text as day from shift where id = 1`)).toEqual([{ day: '2026-01-02' }]);
    expect(await service.take()).toEqual([]);
  });

  test('may write masters that do not depend on it, and all once it is set back', async () => {
    await service.orm.em.fork().transactional(async (em) => {
      await execute(em, `set local ${name} = '${value}'`);
      if (name !== 'DateStyle') await em.insert(Plain, { id: (nextId += 1), name: 'x' } as never);
      await execute(em, `set local ${name} to default`);
      await em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-03' });
    });
    const [last] = (await service.take()).slice(-1);
    expect(last!.data).toMatchObject({
      day: '2026-02-03',
      duration: '-1 days -02:03:04',
      breaks: ['-1 days -01:00:00'],
      ratio: 0.30000000000000004,
      photo: 'AP8=',
    });
  });
});

test('SET of a session is refused, too', async () => {
  const em = service.orm.em.fork();
  await em.begin();
  await execute(em, `set intervalstyle = 'sql_standard'`);
  await expect(em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-03' })).rejects.toThrow(
    "IntervalStyle has been changed in its session, and intervals would travel in a form that replicas read otherwise. Write masters under IntervalStyle = 'postgres'",
  );
  await em.rollback();
});

test.each(['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Africa/Monrovia'])(
  'times travel in UTC whatever the time zone of the session: %s',
  async (zone) => {
    await service.orm.em.fork().transactional(async (em) => {
      await em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-03' });
      await execute(em, `set local time zone '${zone}'`);
      await em.nativeUpdate(Shift, { id: 1 }, { day: '2026-02-04' });
    });
    const [message, ...others] = await service.take();
    expect(others).toEqual([]);
    expect(message).toMatchObject({ data: { begin: '2026-01-02 03:04:05.678000+00:00' }, previous: {} });
    expect(message!.data['cqrs_updated']).toMatch(/\+00:00$/);
  },
);

test('a row whose key is a time is one row in sessions of any time zone', async () => {
  const at = '2026-06-01 12:00:00.000001+00';
  await service.sql(`insert into moment (at, note) values ('${at}', 'a')`);
  const keys = new Set<string>();
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu']) {
    await service.orm.em.fork().transactional(async (em) => {
      await execute(em, `set local time zone '${zone}'`);
      await em.nativeUpdate(Moment, {}, { note: zone });
    });
    for (const { key } of await service.sql<{ key: string }>('select key from cqrs_outbox')) keys.add(key);
    await service.take();
  }
  expect([...keys]).toEqual([`["${at}"]`]);
});

test.each([
  ['0044-03-15 01:02:03+01 BC', '0044-03-15 00:02:03+00 BC'],
  ['0001-01-01 00:30:00.5+01', '0001-12-31 23:30:00.5+00 BC'],
  ['9999-12-31 23:59:59.999999-01', '10000-01-01 00:59:59.999999+00'],
  ['1900-01-01 00:19:32+00:19:32', '1900-01-01 00:00:00+00'],
  ['infinity', 'infinity'],
])('PostgreSQL prints %s in UTC as %s, and so do we', async (text, utc) => {
  const { inUtc } = await import('../../../src/wire/times.js');
  const [row] = await service.orm.em.fork().transactional(async (em) => {
    await execute(em, `set local time zone 'UTC'`);
    return (em as SqlEntityManager).execute<{ text: string }[]>(`select '${text}'::timestamptz::text as text`);
  });
  expect(row!.text).toBe(utc);
  expect(inUtc(text)).toBe(utc);
});

describe('a database that has set otherwise', () => {
  const open = async (entity: typeof Shift | typeof Plain, cqrsUrl: string) => {
    const cqrs = new Cqrs({ transport: 'MemoryTransport' });
    const orm = await MikroORM.init({ clientUrl: cqrsUrl, entities: [entity], extensions: [cqrs] });
    try {
      await cqrs.check();
    } finally {
      await orm.close();
    }
  };
  test('IntervalStyle is refused at start, where a column depends on it', async () => {
    const [row] = await service.sql<{ database: string }>('select current_database() as database');
    await service.sql(`alter database ${row!.database} set intervalstyle = 'sql_standard'`);
    try {
      const url = service.orm.config.get('clientUrl')!;
      await expect(open(Shift, url)).rejects.toThrow(
        "database: IntervalStyle is 'sql_standard' for this connection: intervals would travel in a form that replicas read otherwise. Set it for the role that MikroORM connects with: alter role … set IntervalStyle = 'postgres'.",
      );
      await expect(open(Plain, url)).resolves.toBeUndefined();
    } finally {
      await service.sql(`alter database ${row!.database} reset intervalstyle`);
    }
  });
});

// Few servers have another locale than C.
test('money that is printed in another currency is refused', () => {
  const settings = new RowSettings('Shift');
  settings.add([driverType('money')]);
  const row = (amount: string): string[] => ['2026-01-02 03:04:05+00', amount];
  expect(settings.constants).toEqual(['1234.5::numeric::money']);
  settings.check(row('$1,234.50'), 1, 0);
  expect(() => settings.check(row('1.234,50 €'), 1, 0)).toThrow('lc_monetary has been changed in its session');
});
