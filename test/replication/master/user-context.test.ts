import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { defineEntity, DefaultLogger, p, type SqlEntityManager } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../../src/index.js';
import { uniqueName } from '../../support/broker.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What the application has set up on its EntityManager holds for what this library does in its name, or is known not to. */

// ---- session context: row security decides by variables that MikroORM sets in each transaction

const NoteSchema = defineEntity({
  name: 'Note',
  tableName: 'note',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), tenant: p.string(), text: p.string() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

describe.each(['driver', 'trigger'] as const)('row security by session context, captured by %s', (capture) => {
  const role = uniqueName('tenant_app');
  let service: MasterService;

  beforeAll(async () => {
    service = await masterService([Note], {
      options: { sessionContext: 'transaction' },
      settings: { master: { capture } },
    });
    for (const statement of [
      `create role ${role}`,
      `grant all on all tables in schema public to ${role}`,
      `grant all on all sequences in schema public to ${role}`,
      'alter table note enable row level security',
      `create policy tenants on note using (tenant = current_setting('app.tenant', true))
        with check (tenant = current_setting('app.tenant', true))`,
    ]) {
      await service.sql(statement);
    }
  });
  beforeEach(async () => {
    await service.sql('delete from note');
    await service.sql(`insert into note (id, tenant, text) values (1, 'a', 'mine'), (2, 'b', 'theirs')`);
    await service.take();
  });
  afterAll(async () => {
    await service.sql(`drop owned by ${role}`);
    await service.sql(`drop role ${role}`);
    await service[Symbol.asyncDispose]();
  });

  /** Sees the rows of tenant a, as a user that is no superuser; outside any transaction. */
  function tenant(): SqlEntityManager {
    const em = service.orm.em.fork();
    em.setSessionContext({ variables: { 'app.tenant': 'a' }, role });
    return em;
  }
  const text = 'changed';

  test.each<[string, (em: SqlEntityManager) => Promise<unknown>, unknown, { id: number; text: string }[]]>([
    ['em.insert', (em) => em.insert(Note, { id: 3, tenant: 'a', text }), 3, [{ id: 3, text }]],
    [
      'em.insertMany',
      async (em) => void (await em.insertMany(Note, [{ id: 3, tenant: 'a', text }])),
      undefined,
      [{ id: 3, text }],
    ],
    ['em.upsert', async (em) => (await em.upsert(Note, { id: 1, tenant: 'a', text })).id, 1, [{ id: 1, text }]],
    ['em.nativeUpdate', (em) => em.nativeUpdate(Note, {}, { text }), 1, [{ id: 1, text }]],
    ['em.nativeDelete', (em) => em.nativeDelete(Note, {}), 1, []],
    [
      'flush',
      async (em) => {
        (await em.findOneOrFail(Note, 1)).text = text;
        await em.flush();
      },
      undefined,
      [{ id: 1, text }],
    ],
    [
      'flush of several rows',
      async (em) => {
        await em.transactional(async (inner) => {
          await inner.insertMany(Note, [
            { id: 3, tenant: 'a', text: 'x' },
            { id: 4, tenant: 'a', text: 'y' },
          ]);
          for (const note of await inner.find(Note, {})) note.text = text;
        });
      },
      undefined,
      [3, 4, 1].map((id) => ({ id, text })),
    ],
    ['a builder that inserts', rows((em) => em.qb(Note).insert({ id: 3, tenant: 'a', text })), 1, [{ id: 3, text }]],
    ['a builder that updates', rows((em) => em.qb(Note).update({ text })), 1, [{ id: 1, text }]],
    ['a builder that deletes', rows((em) => em.qb(Note).delete()), 1, []],
    ['bulkCreate', count((em) => Note.cqrs(em).bulkCreate([{ id: 3, tenant: 'a', text }])), 1, [{ id: 3, text }]],
    ['bulkUpdate', count((em) => Note.cqrs(em).bulkUpdate({}, { text })), 1, [{ id: 1, text }]],
    ['bulkUpsert', count((em) => Note.cqrs(em).bulkUpsert([{ id: 1, tenant: 'a', text }])), 1, [{ id: 1, text }]],
    ['bulkDelete', count((em) => Note.cqrs(em).bulkDelete({})), 1, []],
    ['callPostUpdate', (em) => Note.callPostUpdate([{ id: 1 }, { id: 2 }], { em }), 1, [{ id: 1, text: 'mine' }]],
    [
      'callPostBulkCreate',
      (em) => Note.callPostBulkCreate([{ id: 1 }, { id: 2 }], { em }),
      1,
      [{ id: 1, text: 'mine' }],
    ],
    ['cqrsSync', async (em) => (await em.findOneOrFail(Note, 1)).cqrsSync(), true, [{ id: 1, text: 'mine' }]],
  ])('%s, outside a transaction', async (_, write, answer, saved) => {
    expect(await write(tenant())).toEqual(answer);
    const sent = await service.take();
    // The rows were captured when they were written.
    if (capture === 'trigger' && _.startsWith('callPost')) return expect(sent).toEqual([]);
    expect(sent.filter(({ signal }) => signal !== 'DELETE').map(({ data }) => data)).toMatchObject(saved);
    if (saved.length === 0) expect(sent).toMatchObject([{ signal: 'DELETE', pk: 1 }]);
    expect(await service.sql('select text from note where id = 2')).toEqual([{ text: 'theirs' }]);
  });

  test('a row of another tenant is refused as without us', async () => {
    const refused = { code: '42501' };
    await expect(tenant().qb(Note).insert({ id: 3, tenant: 'b', text }).execute()).rejects.toMatchObject(refused);
    await expect(Note.cqrs(tenant()).bulkCreate([{ id: 3, tenant: 'b', text }])).rejects.toMatchObject(refused);
    expect(await service.take()).toEqual([]);
  });
});

function rows(build: (em: SqlEntityManager) => { execute(): Promise<unknown> }) {
  return async (em: SqlEntityManager) => ((await build(em).execute()) as { affectedRows: number }).affectedRows;
}

function count(write: (em: SqlEntityManager) => Promise<{ count: number }>) {
  return async (em: SqlEntityManager) => (await write(em)).count;
}

// ---- filters

const OwnerSchema = defineEntity({
  name: 'Owner',
  tableName: 'owner',
  filters: {
    tenant: { name: 'tenant', cond: ({ tenant }) => ({ tenant }), default: true },
    alive: { name: 'alive', cond: { deleted: false }, default: true },
    named: { name: 'named', cond: { name: 'nobody' }, default: false },
  },
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    tenant: p.integer(),
    deleted: p.boolean().default(false),
    cars: () => p.oneToMany(Car).mappedBy('owner'),
  },
});
class Owner extends OwnerSchema.class {}
OwnerSchema.setClass(Owner);

const CarSchema = defineEntity({
  name: 'Car',
  tableName: 'car',
  extends: MasterEntity,
  filters: {
    tenant: { name: 'tenant', cond: ({ tenant }) => ({ tenant }), default: true },
    alive: { name: 'alive', cond: { deleted: false }, default: true },
  },
  properties: {
    id: p.integer().primary(),
    make: p.string(),
    tenant: p.integer(),
    deleted: p.boolean().default(false),
    owner: () => p.manyToOne(Owner).ref().nullable(),
  },
});
class Car extends masterClass(CarSchema) {
  static override CQRS_ID = 'car';
  static override relateCqrsSerialization() {
    return ['owner'];
  }
  static override CQRS_SERIALIZER = async (car: Car) => {
    const owner = car.owner?.getEntity() as Owner | undefined;
    // loaded by the serializer itself
    const others = owner ? await owner.cars.loadItems() : [];
    const named = owner ? await owner.cars.matching({ where: { make: { $ne: '' } }, filters: ['alive'] }) : [];
    return {
      id: car.id,
      make: car.make,
      owner: owner?.name ?? null,
      cars: others.map(({ id }) => id).toSorted(),
      living: named.map(({ id }) => id).toSorted(),
    };
  };
}
CarSchema.setClass(Car);

describe('filters', () => {
  let service: MasterService;

  beforeAll(async () => {
    service = await masterService([Car, Owner]);
    await service.sql(`insert into owner (id, name, tenant, deleted) values
      (1, 'Ann', 1, false), (2, 'Gone', 1, true), (3, 'Eve', 2, false)`);
  });
  beforeEach(async () => {
    await service.sql('delete from car');
    await service.sql(`insert into car (id, make, tenant, deleted, owner_id) values
      (1, 'Saab', 1, false, 1), (2, 'Lada', 1, true, 1), (3, 'Fiat', 2, false, 3)`);
    await service.take();
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  function tenant(): SqlEntityManager {
    const em = service.orm.em.fork();
    em.setFilterParams('tenant', { tenant: 1 });
    return em;
  }

  test('what is sent is decided by the rows of the database, not by the filters of who writes', async () => {
    const em = tenant();
    em.create(Car, { id: 4, make: 'Volvo', tenant: 1, owner: 2 });
    em.create(Car, { id: 5, make: 'Seat', tenant: 1, deleted: true, owner: 3 });
    await em.flush();
    await em.nativeUpdate(Car, { id: 1 }, { make: 'Opel' });
    expect((await service.take()).map(({ data }) => data)).toMatchObject([
      { id: 4, owner: 'Gone', cars: [4], living: [4] },
      { id: 5, owner: 'Eve', cars: [3, 5], living: [3] },
      { id: 1, make: 'Opel', owner: 'Ann', cars: [1, 2], living: [1] },
    ]);
  });

  test('a SYNC sends the same as the flush did', async () => {
    const em = tenant();
    const car = em.create(Car, { id: 4, make: 'Volvo', tenant: 1, owner: 2 });
    await em.flush();
    const [flushed] = await service.take();
    await car.cqrsSync();
    const [synced] = await service.take();
    expect(synced!.data).toEqual(flushed!.data);
  });

  test('bulkUpdate and bulkDelete touch the rows that em.nativeUpdate and em.nativeDelete would', async () => {
    const makes = (): Promise<unknown> => service.sql('select id, make from car order by id');
    const untouched = [
      { id: 2, make: 'Lada' },
      { id: 3, make: 'Fiat' },
    ];
    expect(await Car.cqrs(tenant()).bulkUpdate({}, { make: 'Opel' })).toEqual({ count: 1, keys: [1] });
    expect(await makes()).toEqual([{ id: 1, make: 'Opel' }, ...untouched]);
    expect(await Car.cqrs(tenant()).bulkUpdate({}, { make: 'Audi' }, { filters: { alive: false } })).toMatchObject({
      count: 2,
    });
    expect(await Car.cqrs(tenant()).bulkDelete([1, 2, 3] as never)).toEqual({ count: 1, keys: [1] });
    expect(await Car.cqrs(service.orm.em.fork()).bulkDelete({}, { filters: false })).toMatchObject({ count: 2 });
    await expect(Car.cqrs(service.orm.em.fork()).bulkDelete({})).rejects.toThrow(
      "No arguments provided for filter 'tenant'",
    );
  });
});

// ---- signals and log context

describe('signals and log context', () => {
  const logged: { query: string; label: unknown }[] = [];
  let service: MasterService;

  beforeAll(async () => {
    service = await masterService([Note], {
      options: {
        debug: ['query'],
        loggerFactory: (options) => {
          const logger = new DefaultLogger(options);
          logger.logQuery = ({ query, ...context }) => void logged.push({ query, label: context['tag'] });
          return logger;
        },
      },
    });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  test('a signal ends what query builders and bulk operations do', async () => {
    const told = jest.spyOn(console, 'error').mockImplementation(() => {}); // Kysely's own words about cancelled statements
    await service.orm.em.fork().insert(Note, { id: 1, tenant: 'a', text: 'x' });
    const blocker = service.orm.em.fork();
    await blocker.begin();
    await blocker.nativeUpdate(Note, { id: 1 }, { text: 'y' });
    const data = { text: 'z' };
    const writes: ((em: SqlEntityManager) => Promise<unknown>)[] = [
      (em) => em.qb(Note).update(data).where({ id: 1 }).execute(),
      (em) => em.qb(Note).update(data).where({ id: 1 }).clone().execute(),
      (em) => Note.cqrs(em).bulkUpdate({ id: 1 }, data),
    ];
    try {
      for (const write of writes) {
        const control = new AbortController();
        const em = service.orm.em.fork({ signal: control.signal, inflightQueryAbortStrategy: 'cancel query' });
        const written = write(em);
        setImmediate(() => control.abort());
        await expect(written).rejects.toMatchObject({ name: 'AbortError' });
      }
    } finally {
      await blocker.rollback();
      told.mockRestore();
    }
  });

  test.each<[string, (em: SqlEntityManager) => Promise<unknown>]>([
    ['a builder', (em) => em.qb(Note).update({ text: 'logged' }).where({ id: 1 }).execute()],
    ['em.nativeUpdate', (em) => em.nativeUpdate(Note, { id: 1 }, { text: 'logged' })],
    ['bulkUpdate', (em) => Note.cqrs(em).bulkUpdate({ id: 1 }, { text: 'logged' })],
  ])('what %s runs is logged with the context of the EntityManager', async (_, write) => {
    const em = service.orm.em.fork({ loggerContext: { tag: 'mine' } });
    logged.length = 0;
    await write(em);
    const own = logged.filter(({ query }) => /^(begin|commit|update "note")/.test(query));
    expect(own.map(({ label }) => label)).toEqual(['mine', 'mine', 'mine']);
  });
});
