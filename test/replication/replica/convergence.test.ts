import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import fc from 'fast-check';
import { TransportPayload } from '../../../src/wire/payload.js';
import { formatMicroseconds } from '../../../src/wire/times.js';
import type { Received } from '../../../src/messaging/inbox/handler.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { deliver, histories, type Ordering, seed, untilHandled } from './support/histories.js';
import { RealMaster } from './support/real-masters.js';
import { type Master, OurMasterModel, PythonMasterModel, ROWS, TwoMastersModel } from './support/masters.js';
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

// A backup of the rows with some keys, and of what is remembered of deleted ones.
const COPIES = { account_ref: 'id', cqrs_tombstones: `(key::jsonb->>0)::int` };

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

// claims: restored-replica
describe('a replica that was restored from a backup, between any two batches', () => {
  test.each(['rows', 'hooks'] as const)(
    'ends in the master’s state when the rest has come and it was reconciled: by %s',
    async (path) => {
      await fc.assert(convergesRestored(services[path]), { numRuns: path === 'rows' ? 200 : 80, seed });
    },
    120_000,
  );
});

// claims: any-order, row-order, re-creation, sync-no-downgrade
test('Real masters: any history that MikroORM wrote, two writers at once, ends in the master’s state', async () => {
  await fc.assert(converges(services.rows, real), { numRuns: 150, seed });
}, 120_000);

// claims: two-masters-of-a-table
describe('one table that Django and MikroORM write, each announcing its own changes', () => {
  test.each([0, 3, 120])(
    'with our relay %i seconds behind, any history ends in the table’s state',
    async (behind) => {
      await fc.assert(converges(services.rows, new TwoMastersModel(behind), 'in order'), { numRuns: 150, seed });
    },
    120_000,
  );
});

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

function convergesRestored(service: ReplicaService) {
  const applier = service.side.createApplier();
  const master = new OurMasterModel();
  return fc.asyncProperty(histories, async ({ steps, delivery, backup }) => {
    const firstKey = (nextKey += ROWS);
    const announced = await master.run(steps, firstKey);
    const { rows, syncs } = announced;
    const copies = new Map<string, string>();
    await deliver(announced, delivery, applier, 'any', async (batch) => {
      for (const [table, key] of Object.entries(COPIES)) {
        const own = keysOf(key, firstKey);
        if (batch === backup.at) {
          const [row] = await service.rows(
            `select coalesce(jsonb_agg(t), '[]')::text as copy from ${table} t where ${own}`,
          );
          copies.set(table, row!['copy'] as string);
        }
        if (batch !== backup.at + backup.restored || !copies.has(table)) continue;
        await service.rows(`delete from ${table} where ${own}`);
        await service.rows(`insert into ${table} select * from jsonb_populate_recordset(null::${table}, ?)`, [
          copies.get(table),
        ]);
      }
    });
    const read = (): Promise<Record<string, unknown>[]> =>
      service.rows(
        `select id, name, cqrs_revision::int as r, cqrs_incarnation::text as i, (extract(epoch from cqrs_updated) * 1000000)::bigint::text as u
           from account_ref where ${keysOf('id', firstKey)} order by id`,
      );
    const extra = (await read()).filter(({ id }) => !rows.has(id as number)).map(withdrawn);
    await untilHandled(applier, [...syncs!, ...extra]);
    expect((await read()).map(({ id, name }) => [id, name])).toEqual([...rows].toSorted(([a], [b]) => a - b));
  });
}

function keysOf(key: string, firstKey: number): string {
  return `${key} >= ${firstKey} and ${key} < ${firstKey + ROWS}`;
}

/** What `reconcile` sends for a row that the master has not: later than what was seen, by as little as can be. */
function withdrawn({ id, r, u, i }: Record<string, unknown>): Received {
  const payload = new TransportPayload({
    signalType: 'DELETE',
    cqrsId: 'account',
    instanceData: { id: id as number, cqrs_revision: r as number, cqrs_updated: formatMicroseconds(Number(u) + 1) },
    instancePk: id as number,
    incarnation: Number(i),
  });
  return { payload, committedAt: null, direct: true, expired: false };
}
