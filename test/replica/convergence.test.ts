import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import fc from 'fast-check';
import { replica, ReplicaEntity } from '../../src/replica/replica-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { deliver, histories, type Ordering, seed } from './support/histories.js';
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

const waiting = new PythonMasterModel({ waits: true, apart: 120 });

// claims: any-order
describe('models of masters: numbered incarnations, Python masters with and without lock waits', () => {
  test.each([
    ['our masters', 'rows', new OurMasterModel(), 'any', 1_600],
    [
      'a Python master whose statements wait for no lock',
      'rows',
      new PythonMasterModel({ waits: false, apart: 40 }),
      'any',
      1_200,
    ],
    ['a Python master whose statements wait for locks', 'rows', waiting, 'in order', 500],
    ['a Python master whose statements wait for locks, two publishers at once', 'rows', waiting, 'race', 500],
    ['a Python master whose statements wait for locks, some messages retried', 'rows', waiting, 'retried', 500],
    ['our masters, through hooks', 'hooks', new OurMasterModel(), 'any', 400],
    ['a Python master, through hooks', 'hooks', new PythonMasterModel({ waits: false, apart: 40 }), 'any', 300],
    ['a Python master whose statements wait for locks, through hooks', 'hooks', waiting, 'race', 300],
  ] as const satisfies readonly (readonly [string, 'rows' | 'hooks', Master, Ordering, number])[])(
    'any history of %s ends in the master’s state',
    async (_, path, master, ordering, runs) => {
      await fc.assert(converges(services[path], master, ordering), { numRuns: runs, seed });
    },
    120_000,
  );
});

// claims: any-order, row-order, re-creation, sync-no-downgrade
test('Real masters: any history that MikroORM wrote, two writers at once, ends in the master’s state', async () => {
  await fc.assert(converges(services.rows, real), { numRuns: 150, seed });
}, 120_000);

function converges(service: ReplicaService, master: Master, ordering: Ordering = 'any') {
  const applier = service.side.createApplier();
  return fc.asyncProperty(histories, async ({ steps, delivery }) => {
    const firstKey = (nextKey += ROWS);
    const announced = await master.run(steps, firstKey);
    const { rows } = announced;
    await deliver(announced, delivery, applier, ordering);
    const found = await service.rows(`select id, name from account_ref where id >= ? and id < ? order by id`, [
      firstKey,
      firstKey + ROWS,
    ]);
    expect(Object.fromEntries(found.map((row) => [row['id'], row['name']]))).toEqual(
      Object.fromEntries([...rows].toSorted()),
    );
  });
}
