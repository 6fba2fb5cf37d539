import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import fc from 'fast-check';
import { replica, ReplicaEntity } from '../../src/replica/replica-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { deliver, histories, seed } from './support/histories.js';
import { RealMaster } from './support/real-masters.js';
import { type Master, OurMasterModel, PythonMasterModel, ROWS } from './support/masters.js';
import { ReplicaService } from './support/replica-service.js';

const columns = { id: p.integer().primary(), name: p.string() };
const RowSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: columns,
});
const HookSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: columns,
});

let database: TestDatabase;
const services: Record<'rows' | 'hooks', ReplicaService> = {} as never;
let real: RealMaster;
let nextKey = 0;

beforeAll(async () => {
  process.stderr.write(`convergence: SEED=${seed}\n`);
  database = await createDatabase();
  services.rows = await ReplicaService.start(database.url, [replica(RowSchema, { id: 'account' })]);
  services.hooks = await ReplicaService.start(database.url, [
    replica(HookSchema, {
      id: 'account',
      cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never),
    }),
  ]);
  await services.rows.orm.schema.create();
  real = await RealMaster.start();
});
afterAll(async () => {
  await real.stop();
  await services.rows.stop();
  await services.hooks.stop();
  await database.drop();
});

test.each([
  ['our masters', 'rows', new OurMasterModel(), 2_000],
  ['a Python master', 'rows', new PythonMasterModel(), 1_500],
  ['our masters, through hooks', 'hooks', new OurMasterModel(), 400],
  ['a Python master, through hooks', 'hooks', new PythonMasterModel(), 400],
] as const satisfies readonly (readonly [string, 'rows' | 'hooks', Master, number])[])(
  'any history of %s ends in the master’s state',
  async (_, path, master, numRuns) => {
    await fc.assert(converges(services[path], master), { numRuns, seed });
  },
  120_000,
);

// claims: any-order, row-order, re-creation, sync-no-downgrade
test('Real masters: any history that MikroORM wrote, two writers at once, ends in the master’s state', async () => {
  await fc.assert(converges(services.rows, real), { numRuns: 150, seed });
}, 120_000);

function converges(service: ReplicaService, master: Master) {
  const applier = service.side.createApplier();
  return fc.asyncProperty(histories, async ({ steps, delivery }) => {
    const firstKey = (nextKey += ROWS);
    const { messages, rows } = await master.run(steps, firstKey);
    await deliver(messages, delivery, applier);
    const found = await service.rows(`select id, name from account_ref where id >= ? and id < ? order by id`, [
      firstKey,
      firstKey + ROWS,
    ]);
    expect(Object.fromEntries(found.map((row) => [row['id'], row['name']]))).toEqual(
      Object.fromEntries([...rows].toSorted()),
    );
  });
}
