import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, raw } from '@mikro-orm/postgresql';
import { UnsupportedWriteError } from '../../../src/kernel/errors.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const SECRET = 'S3CRET';
const LETTERS = 'x'.repeat(3_000);

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.text(), data: p.json<unknown>().nullable() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const PlaceSchema = defineEntity({
  name: 'Place',
  extends: MasterEntity,
  properties: { path: p.string().columnType('int[]').primary(), data: p.json<unknown>().nullable() },
});
class Place extends masterClass(PlaceSchema) {
  static override CQRS_ID = 'place';
}
PlaceSchema.setClass(Place);

let answer: (card: { id: number; name: string }) => object;
const CardSchema = defineEntity({
  name: 'Card',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.text() },
});
class Card extends masterClass(CardSchema) {
  static override CQRS_ID = 'card';
  static override CQRS_SERIALIZER = (card: { id: number; name: string }) => answer(card);
}
CardSchema.setClass(Card);

let service: MasterService;
let meta: unknown;
beforeAll(async () => {
  const settings = { maxPayloadBytes: 2_000, master: { metaFunction: () => meta as never } };
  service = await masterService([Account, Card, Place], { settings });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(() => {
  meta = undefined;
  answer = ({ id, name }) => ({ id, name });
});

/** What the write was refused with; afterwards nothing of it is there. */
async function refusal(write: () => Promise<unknown>): Promise<UnsupportedWriteError> {
  const count = async () => (await service.sql('select from account union all select from card')).length;
  const before = await count();
  const error = await write().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UnsupportedWriteError);
  expect(String(error)).not.toContain(SECRET);
  expect(await service.take()).toEqual([]);
  expect(await count()).toBe(before);
  return error as UnsupportedWriteError;
}

const create = (entity: typeof Account | typeof Card, values: object) => async () => {
  const em = service.orm.em.fork();
  em.create(entity as typeof Account, values as never);
  await em.flush();
};

// claims: payload-limit
describe('a message longer than maxPayloadBytes', () => {
  test('fails its flush, which names the row and the length', async () => {
    const error = await refusal(create(Account, { id: 1, name: SECRET + LETTERS }));
    expect(error.message).toMatch(
      /^Cannot replicate this write of Account: account \["1"\]: its message has 3\d\d\d bytes, more than maxPayloadBytes \(2000\)\. Keep large values/,
    );
    expect(error.data).toMatchObject({ entity: 'Account', cqrsId: 'account', key: '["1"]', maxPayloadBytes: 2_000 });
  });

  test('is measured in bytes, not in characters', async () => {
    await refusal(create(Account, { id: 1, name: '🎉'.repeat(450) }));
    await create(Account, { id: 2, name: 'x'.repeat(900) })();
    expect(await service.take()).toHaveLength(1);
  });

  test('takes the whole transaction with it, of however many rows', async () => {
    const rows = Array.from({ length: 300 }, (_, index) => ({ id: 100 + index, name: index === 250 ? LETTERS : 'x' }));
    const error = await refusal(() => service.orm.em.fork().insertMany(Account, rows as never));
    expect(error.message).toContain('account ["350"]');
  });

  test('may still be deleted: its DELETE is short', async () => {
    await service.cqrs.withoutReplication(create(Account, { id: 3, name: LETTERS }));
    await service.orm.em.fork().nativeDelete(Account, { id: 3 });
    expect(await service.take()).toMatchObject([{ signal: 'DELETE', pk: 3 }]);
  });

  test('counts the meta, too', async () => {
    meta = { note: LETTERS };
    expect((await refusal(create(Account, { id: 4, name: 'x' }))).message).toContain('more than maxPayloadBytes');
  });
});

describe('what no replica would read fails before COMMIT', () => {
  const deep = (levels: number): unknown => (levels === 0 ? SECRET : [deep(levels - 1)]);

  test.each([
    ['JSON nested too deeply', deep(250), 'nested deeper than 200 levels'],
    ['a key that reaches prototypes', JSON.parse('{"a":{"__proto__":{"b":1}}}'), "the key '__proto__' is not allowed"],
  ])('%s', async (_, data, reason) => {
    const error = await refusal(create(Account, { id: 5, name: SECRET, data }));
    expect(error.message).toContain(`account ["5"]: replicas would not read it: ${reason}`);
  });

  test.each(['constructor', 'prototype', 'toString'])('a column of JSON may have the key %s', async (key) => {
    await create(Account, { id: 6, name: 'x', data: { [key]: 'Ferrari' } })();
    expect((await service.take())[0]!.data['data']).toEqual({ [key]: 'Ferrari' });
    await service.orm.em.fork().nativeDelete(Account, { id: 6 });
    await service.take();
  });

  test('a serializer whose answer has no form in JSON', async () => {
    answer = ({ name }) => {
      const circle: { name: string; self?: object } = { name };
      circle.self = circle;
      return circle;
    };
    const error = await refusal(create(Card, { id: 7, name: SECRET }));
    expect(error.message).toContain('card ["7"]: the data of its CQRS_SERIALIZER has no form in JSON');
  });

  test('a serializer whose answer is nested too deeply', async () => {
    answer = () => ({ all: deep(250) });
    expect((await refusal(create(Card, { id: 8, name: SECRET }))).message).toContain('nested deeper than 200 levels');
  });

  test('a meta that has none', async () => {
    meta = () => SECRET;
    expect((await refusal(create(Account, { id: 9, name: SECRET }))).message).toContain(
      'account ["9"]: the meta has no form in JSON',
    );
  });
});

describe('what JSON does not say whole', () => {
  test('travels as PostgreSQL prints it, beside what others read', async () => {
    const em = service.orm.em.fork();
    await em
      .createQueryBuilder(Account)
      .insert({ id: 900, name: 'a', data: raw(`'{"price": 1.10}'`) })
      .execute();
    await em
      .createQueryBuilder(Account)
      .insert({ id: 901, name: 'a', data: raw("'null'") })
      .execute();
    await em.insert(Account, { id: 902, name: 'a', data: null });
    await em.insert(Account, { id: 903, name: 'a', data: { price: 1.1, none: null } });
    const bodies = (await service.take()).map(({ body }) => JSON.parse(body) as Record<string, unknown>);
    expect(bodies.map(({ cqrs_texts }) => cqrs_texts)).toEqual([
      { data: { json: '{"price": 1.10}' } },
      { data: { json: 'null' } },
      undefined,
      undefined,
    ]);
    expect(bodies.map(({ instance_data }) => (instance_data as { data: unknown }).data)).toEqual([
      { price: 1.1 },
      null,
      null,
      { price: 1.1, none: null },
    ]);
  });

  test('is refused as a key', async () => {
    const insert = (path: string): Promise<unknown> =>
      service.orm.em.fork().createQueryBuilder(Place).insert({ path, data: null }).execute();
    await insert('{1,2}');
    await expect(insert('[0:1]={1,2}')).rejects.toThrow(
      'its key path has no form in JSON that says all of it. Use another value, or another key.',
    );
    expect(await service.sql('select path::text as path from place')).toEqual([{ path: '{1,2}' }]);
    await service.take();
  });
});
