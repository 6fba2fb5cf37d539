import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { parseFilter, withFilter } from '../../src/cli/filter.js';
import { deletedDiffMaster, deletedDiffReplica } from '../../src/operations/deleted-diff.js';
import { diffMaster, diffReplica } from '../../src/operations/diff.js';
import { dumpRows } from '../../src/operations/dump.js';
import { loadRows } from '../../src/operations/load.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { pieces, Sink } from '../operations/streams.js';
import { twoServices, type TwoServices } from '../support/two-services.js';

/** Everything a name may hold to end a quotation or a statement; MikroORM itself has no way to write a `?` in one. */
const EVIL = `"x'";--$1\\`;
const ID = `o"dd'id;--$1`;

const columns = {
  id: p.text().primary().name(`id${EVIL}`),
  name: p.text().name(`name${EVIL}`),
  count: p.integer().name(`count${EVIL}`),
};
const OddSchema = defineEntity({
  name: 'Odd',
  tableName: `odd${EVIL}`,
  extends: MasterEntity,
  properties: columns,
});
class Odd extends masterClass(OddSchema) {
  static override CQRS_ID = ID;
  static override CQRS_TRACKED_FIELDS = ['name'] as const;
}
OddSchema.setClass(Odd);
const OddRefSchema = defineEntity({
  name: 'OddRef',
  tableName: `odd_ref${EVIL}`,
  extends: ReplicaEntity,
  properties: columns,
});
class OddRef extends replicaClass(OddRefSchema) {
  static override CQRS_ID = ID;
}
OddRefSchema.setClass(OddRef);

let services: TwoServices;
const KEYS = [`'; drop table victim; --`, '"', '\\', '$1 ? ??', `E'\\x1e'`, '{"a":1}', '\u001e\u001f', ''];

beforeAll(async () => {
  services = await twoServices({ masters: [Odd], replicas: [OddRef] });
  await services.master.orm.em.execute('create table victim (id int)');
  await services.replica.orm.em.execute('create table victim (id int)');
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});

const masters = () => services.master.orm.em.fork();
const copies = async () =>
  (await services.replica.orm.em.fork().find(OddRef, {}, { orderBy: { id: 'asc' } })).map(({ id, name, count }) => ({
    id,
    name,
    count,
  }));
const expected = async () =>
  (await masters().find(Odd, {}, { orderBy: { id: 'asc' } })).map(({ id, name, count }) => ({ id, name, count }));
async function victims(): Promise<void> {
  for (const { orm } of [services.master, services.replica]) {
    expect(await orm.em.execute('select count(*)::int as count from victim')).toEqual([{ count: 0 }]);
  }
}

// claims: bad-input
describe('names and keys that would be SQL, were they ever part of its text', () => {
  test('travel: created, changed, moved, upserted, deleted', async () => {
    const em = masters();
    for (const id of KEYS) em.create(Odd, { id, name: `'${id}`, count: 1 } as never);
    await em.flush();
    await masters().nativeUpdate(Odd, { id: KEYS[0]! }, { name: `"; drop table victim; --` });
    await masters().upsertMany(Odd, [{ id: KEYS[1]!, name: '\\', count: 2 }] as never);
    await masters().nativeDelete(Odd, { id: KEYS[2]! });
    await masters().nativeUpdate(Odd, { id: KEYS[3]! }, { id: `moved'` });
    await services.ended(KEYS.length + 5);
    expect(await copies()).toEqual(await expected());
    expect(await copies()).toHaveLength(KEYS.length - 1);
    await victims();
  });

  test('SYNC, by filter and by keys', async () => {
    await services.replica.orm.em.fork().nativeDelete(OddRef, {});
    const before = services.heard.length;
    const filter = parseFilter(JSON.stringify({ id: { $in: KEYS } }));
    const { synced } = await services.master.cqrs.sync({ cqrsId: ID, filter });
    const rest = await services.master.cqrs.sync({ cqrsId: ID, keys: [[`moved'`]], queue: services.queue });
    expect([synced, rest.synced]).toEqual([KEYS.length - 2, 1]);
    expect(services.heard.length).toBeGreaterThanOrEqual(before);
    await services.ended(KEYS.length + 5 + KEYS.length - 1);
    expect(await copies()).toEqual(await expected());
  });

  test('dump, load, and the comparisons', async () => {
    const { master, replica } = services;
    const dump = new Sink();
    await dumpRows(master.cqrs, { cqrsId: ID, write: dump.write });
    await loadRows(replica.cqrs, pieces(dump.text), { clear: true });
    const listed = new Sink();
    await diffMaster(master.cqrs, { cqrsId: ID, write: listed.write, settleSeconds: 0, checksums: 'all' });
    const differences = new Sink();
    await diffReplica(replica.cqrs, pieces(listed.text), { write: differences.write });
    expect(differences.lines).toHaveLength(1);
    const keys = new Sink();
    await deletedDiffReplica(replica.cqrs, { cqrsId: ID, write: keys.write });
    const gone = new Sink();
    await deletedDiffMaster(master.cqrs, pieces(keys.text), { write: gone.write });
    expect(gone.lines).toHaveLength(1);
    await victims();
  });
});

// claims: bad-input
describe('--filter is a condition, never SQL', () => {
  test.each([
    '{"1=1; drop table victim; --":1}',
    '{"id\\" = \\"id\\" or 1=1; drop table victim; --":1}',
    '{"[raw]: drop table victim (#1)":[]}',
    '{"id":{"$raw":"drop table victim"}}',
    '{"id":{"sql":"1; drop table victim","params":[]}}',
    '{"sql":"drop table victim","params":[]}',
    '{"__raw":true,"sql":"drop table victim"}',
    '{"__proto__":{"id":1}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    `{"id":{"$ilike":"x'; drop table victim; --"}}`,
    '{"id":{"$gt":"\\u0000"}}',
    '{"name":{"$re":"("}}',
    '{"count":"1; drop table victim"}',
    '{"count":{"$in":"1) or (1=1"}}',
    '{"$or":[{"id":"x"},{"; drop table victim; --":1}]}',
    '{"id":{"$some":{"1;":1}}}',
    '{"cqrsRevision::text, pg_sleep(10)":1}',
  ])('%s', async (text) => {
    const outcome = await withFilter(async () =>
      services.master.cqrs.sync({ cqrsId: ID, filter: parseFilter(text), queue: 'nobody' }),
    ).then(
      ({ synced }) => synced,
      (error: unknown) => error,
    );
    // Refused, or a condition that no row meets.
    if (!(outcome instanceof Error)) expect(outcome).toBe(0);
    await victims();
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
