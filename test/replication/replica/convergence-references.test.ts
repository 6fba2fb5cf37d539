import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/core';
import fc from 'fast-check';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { seed } from './support/histories.js';
import { deliverUntilNothingWaits, referringHistories, runSteps } from './support/referring-masters.js';
import { ReplicaService } from './support/replica-service.js';

function entities(hooks: boolean) {
  const base = { id: p.integer().primary() };
  const Left = defineEntity({
    name: 'LeftRef',
    tableName: 'left_ref',
    extends: ReplicaEntity,
    properties: { ...base, to: () => p.manyToOne(Right).nullable().deleteRule('no action') },
  });
  const Right = defineEntity({
    name: 'RightRef',
    tableName: 'right_ref',
    extends: ReplicaEntity,
    properties: { ...base, to: () => p.manyToOne(Left).nullable().deleteRule('no action') },
  });
  const Node = defineEntity({
    name: 'NodeRef',
    tableName: 'node_ref',
    extends: ReplicaEntity,
    properties: { ...base, to: () => p.manyToOne(Node).nullable().deleteRule('no action') },
  });
  const Part = defineEntity({
    name: 'PartRef',
    tableName: 'part_ref',
    extends: ReplicaEntity,
    properties: { ...base, to: () => p.manyToOne(Left).deleteRule('no action') },
  });
  const cqrsUpdate = (row: object, em: EntityManager, { mappedData }: { mappedData: object }): void =>
    void em.assign(row, mappedData as never);
  const options = hooks ? { cqrsUpdate: cqrsUpdate as never } : {};
  return [
    replica(Left, { id: 'left', ...options }),
    replica(Right, { id: 'right', ...options }),
    replica(Node, { id: 'node', ...options }),
    replica(Part, { id: 'part', ...options }),
  ];
}

let database: TestDatabase;
const services: Record<'rows' | 'hooks', ReplicaService> = {} as never;
let nextKey = 0;

beforeAll(async () => {
  process.stderr.write(`convergence of references: SEED=${seed}\n`);
  database = await createDatabase();
  services.rows = await ReplicaService.start(database.url, entities(false));
  services.hooks = await ReplicaService.start(database.url, entities(true));
  await services.rows.orm.schema.create();
});
afterAll(async () => {
  await services.rows.stop();
  await services.hooks.stop();
  await database.drop();
});

test.each([
  ['rows', 200],
  ['hooks', 80],
] as const)(
  'any history of rows that refer to each other, and of parents and children, ends in the master’s state (%s)',
  async (path, runs) => {
    const service = services[path];
    const applier = service.side.createApplier();
    const converges = fc.asyncProperty(referringHistories, async ({ steps, ranks, cuts }) => {
      const firstKey = (nextKey += 10);
      const { messages, rows } = runSteps(steps, firstKey);
      await deliverUntilNothingWaits(messages, { ranks, cuts }, applier);
      const found = await service.rows(
        ['left', 'right', 'node', 'part']
          .map(
            (table) =>
              `select '${table}' as name, id, to_id from ${table}_ref where id between ${firstKey} and ${firstKey + 9}`,
          )
          .join(' union all '),
      );
      const there = found.map(({ name, id, to_id: to }): [string, number | null] => [
        `${name} ${Number(id) - firstKey}`,
        to === null ? null : Number(to) - firstKey,
      ]);
      expect(Object.fromEntries(there)).toEqual(rows);
    });
    await fc.assert(converges, { numRuns: runs, seed });
  },
  120_000,
);
