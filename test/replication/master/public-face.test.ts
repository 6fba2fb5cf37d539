import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p, serialize, type SqlEntityManager, wrap } from '@mikro-orm/postgresql';
import { Cqrs, MasterEntity, masterClass, ReplicaEntity, replicaClass } from '../../../src/index.js';
import { createDatabase } from '../../support/database.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What an application shows and takes of its entities is the same whether they are masters and replicas or not. */

const properties = { id: p.integer().primary(), name: p.string(), email: p.string().unique().nullable() };
const AccountSchema = defineEntity({ name: 'Account', tableName: 'account', extends: MasterEntity, properties });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const AccountRefSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);

let service: MasterService;
let lastId = 0;

beforeAll(async () => {
  service = await masterService([Account]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

function manager(): SqlEntityManager {
  return service.orm.em.fork();
}

/** A row with its entity as somebody else has stored it. */
async function stored(): Promise<number> {
  await manager().insert(Account, { id: ++lastId, name: 'former' });
  return lastId;
}

type Body = Record<string, unknown>;

const BODIES: Readonly<Record<string, Body>> = {
  null: { cqrsRevision: null, cqrsUpdated: null, cqrsIncarnation: null },
  undefined: { cqrsRevision: undefined, cqrsUpdated: undefined, cqrsIncarnation: undefined },
  'what an older version of the API has answered': {
    cqrsRevision: 41,
    cqrsUpdated: '2001-02-03T04:05:06.007Z',
    cqrsIncarnation: 42,
  },
  texts: { cqrsRevision: 'seven', cqrsUpdated: 'yesterday', cqrsIncarnation: 'first' },
  'lists and objects': { cqrsRevision: { a: 1 }, cqrsUpdated: [], cqrsIncarnation: true },
  'numbers that are none': { cqrsRevision: -1.5, cqrsUpdated: 12, cqrsIncarnation: Number.NaN },
};

/** Each writes a row with that body in it, and answers its key, how often it was written before, and the entity if there is one. */
const WAYS: Readonly<Record<string, (body: Body) => Promise<{ id: number; before: number; entity?: object }>>> = {
  'em.create': async (body) => {
    const em = manager();
    const entity = em.create(Account, { id: ++lastId, name: 'ada', ...body } as never);
    await em.flush();
    return { id: lastId, before: 0, entity };
  },
  'em.assign to a new entity': async (body) => {
    const em = manager();
    const entity = em.create(Account, { id: ++lastId, name: 'ada' });
    em.assign(entity, body as never);
    await em.flush();
    return { id: lastId, before: 0, entity };
  },
  'em.assign': async (body) => {
    const em = manager();
    const entity = await em.findOneOrFail(Account, await stored());
    em.assign(entity, { name: 'ada', ...body } as never);
    await em.flush();
    return { id: entity.id, before: 1, entity };
  },
  'wrap().assign': async (body) => {
    const em = manager();
    const entity = await em.findOneOrFail(Account, await stored());
    wrap(entity).assign({ name: 'ada', ...body } as never);
    await em.flush();
    return { id: entity.id, before: 1, entity };
  },
  'Object.assign': async (body) => {
    const em = manager();
    const entity = await em.findOneOrFail(Account, await stored());
    Object.assign(entity, { name: 'ada', ...body });
    await em.flush();
    return { id: entity.id, before: 1, entity };
  },
  'em.insert': async (body) => {
    const id = await manager().insert(Account, { id: ++lastId, name: 'ada', ...body } as never);
    return { id: id as number, before: 0 };
  },
  'em.insertMany': async (body) => {
    await manager().insertMany(Account, [{ id: ++lastId, name: 'ada', ...body } as never]);
    return { id: lastId, before: 0 };
  },
  'em.nativeUpdate': async (body) => {
    const id = await stored();
    await manager().nativeUpdate(Account, { id }, { name: 'ada', ...body } as never);
    return { id, before: 1 };
  },
  'em.upsert': async (body) => {
    const id = await stored();
    const entity = await manager().upsert(Account, { id, name: 'ada', ...body } as never);
    return { id, before: 1, entity };
  },
  'em.upsert of an entity that is loaded': async (body) => {
    const id = await stored();
    const em = manager();
    await em.findOneOrFail(Account, id);
    const entity = await em.upsert(Account, { id, name: 'ada', ...body } as never);
    return { id, before: 1, entity };
  },
  'em.upsertMany': async (body) => {
    const id = await stored();
    const [entity] = await manager().upsertMany(Account, [{ id, name: 'ada', ...body } as never]);
    return { id, before: 1, entity };
  },
  'a builder that inserts': async (body) => {
    await manager()
      .createQueryBuilder(Account)
      .insert({ id: ++lastId, name: 'ada', ...body } as never)
      .execute();
    return { id: lastId, before: 0 };
  },
  'a builder that updates': async (body) => {
    const id = await stored();
    await manager()
      .createQueryBuilder(Account)
      .update({ name: 'ada', ...body } as never)
      .where({ id })
      .execute();
    return { id, before: 1 };
  },
  'a builder that merges': async (body) => {
    const id = await stored();
    await manager()
      .createQueryBuilder(Account)
      .insert({ id, name: 'ada', ...body } as never)
      .onConflict('id')
      .merge()
      .execute();
    return { id, before: 1 };
  },
  'a builder that merges given values': async (body) => {
    const id = await stored();
    await manager()
      .createQueryBuilder(Account)
      .insert({ id, name: 'eve' })
      .onConflict('id')
      .merge({ name: 'ada', ...body } as never)
      .execute();
    return { id, before: 1 };
  },
  bulkCreate: async (body) => {
    await Account.cqrs(manager()).bulkCreate([{ id: ++lastId, name: 'ada', ...body } as never]);
    return { id: lastId, before: 0 };
  },
  bulkUpdate: async (body) => {
    const id = await stored();
    await Account.cqrs(manager()).bulkUpdate({ id } as never, { name: 'ada', ...body } as never);
    return { id, before: 1 };
  },
  bulkUpsert: async (body) => {
    const id = await stored();
    await Account.cqrs(manager()).bulkUpsert([{ id, name: 'ada', ...body } as never]);
    return { id, before: 1 };
  },
};

describe('a body that carries our columns back does no harm', () => {
  for (const [what, body] of Object.entries(BODIES)) {
    test.each(Object.keys(WAYS))(`${what}: %s`, async (way) => {
      const [clock] = await service.sql<{ us: string }>(
        'select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as us',
      );
      const { id, before, entity } = await WAYS[way]!(body);
      const [row] = await service.sql(
        `select name, cqrs_revision as revision, cqrs_incarnation::text as incarnation, cqrs_updated as updated,
          cqrs_incarnation >= ? and cqrs_updated >= to_timestamp(?::numeric / 1000000) as "ofNow" from account where id = ?`,
        [clock!.us, clock!.us, id],
      );
      expect(row).toMatchObject({ name: 'ada', revision: before, ofNow: true });
      if (!entity) return;
      expect(entity).toMatchObject({ cqrsRevision: before, cqrsIncarnation: Number(row!['incarnation']) });
      expect((entity as Account).cqrsUpdated.getTime()).toBe(new Date(row!['updated'] as string).getTime());
    });
  }

  test('and changes nothing where there is nothing else in it', async () => {
    const em = manager();
    const entity = await em.findOneOrFail(Account, await stored());
    await service.take();
    for (const body of Object.values(BODIES)) em.assign(entity, body as never);
    await em.flush();
    expect(await service.take()).toEqual([]);
  });

  test('nor to toCqrsDict of an entity that is not stored yet', async () => {
    const em = manager();
    const entity = em.create(Account, { id: -1, name: 'ada', ...BODIES['texts'] } as never, { persist: false });
    expect(await entity.toCqrsDict({ em })).toMatchObject({ id: -1, cqrs_revision: 0, cqrs_updated: null });
  });
});

describe('our columns are in nothing that an application answers with', () => {
  const shown = { id: expect.any(Number), name: 'former', email: null };

  test('JSON, toObject and serialize of a master, found or written', async () => {
    const em = manager();
    const id = await stored();
    const found = await em.findOneOrFail(Account, id);
    const upserted = await manager().upsert(Account, { id, name: 'former' });
    for (const entity of [found, upserted]) {
      const views = [JSON.parse(JSON.stringify(entity)), wrap(entity).toObject(), serialize(entity)];
      for (const view of views) expect(view).toEqual(shown);
    }
    expect(JSON.parse(JSON.stringify({ page: [found] }))).toEqual({ page: [shown] });
  });

  test('those who want them read them, name them or ask for what is hidden', async () => {
    const entity = await manager().findOneOrFail(Account, await stored());
    expect(entity.cqrsRevision).toBe(0);
    expect(serialize(entity, { includeHidden: true })).toMatchObject({ cqrsRevision: 0 });
    expect(await entity.toCqrsDict()).toMatchObject({ cqrs_revision: 0, cqrs_updated: expect.any(String) });
    const builder = manager().createQueryBuilder(Account).update({ name: 'ada' }).where({ id: entity.id });
    expect(await builder.returning(['id', 'cqrsRevision']).execute('all')).toEqual([
      { id: entity.id, cqrsRevision: 1 },
    ]);
  });

  test('a replica', async () => {
    const database = await createDatabase();
    const orm = await MikroORM.init({
      clientUrl: database.url,
      entities: [AccountRef],
      extensions: [new Cqrs({ transport: 'MemoryTransport' })],
    });
    try {
      await orm.schema.create();
      const em = orm.em.fork();
      await AccountRef.cqrsSave(em, {
        id: 1,
        name: 'ada',
        cqrs_revision: 3,
        cqrs_updated: '2026-01-01 00:00:00+00:00',
      });
      const found = await em.fork().findOneOrFail(AccountRef, 1);
      expect(found.cqrsRevision).toBe(3);
      expect(JSON.parse(JSON.stringify(found))).toEqual({ id: 1, name: 'ada' });
      expect(visible(orm, AccountRef)).toEqual(['id', 'name']);
    } finally {
      await orm.close();
      await database.drop();
    }
  });

  test('what generators of APIs read of the metadata', () => {
    expect(visible(service.orm, Account)).toEqual(['id', 'name', 'email']);
  });

  test('the schema of the database stays what it was', async () => {
    expect(await service.orm.schema.getUpdateSchemaSQL({ wrap: false })).toBe('');
  });
});

/** By name, as the lists and the dictionary of MikroORM have them. */
function visible(orm: MikroORM, entity: typeof Account | typeof AccountRef): string[] {
  const meta = orm.getMetadata().get(entity as never);
  const listed = meta.props.filter(({ hidden }) => !hidden).map(({ name }) => name);
  const named = Object.entries(meta.properties as Record<string, { hidden?: boolean }>);
  expect(named.filter(([, { hidden }]) => !hidden).map(([name]) => name)).toEqual(expect.arrayContaining(listed));
  return listed;
}
