import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import type { Outcome, Received } from '../../../src/messaging/inbox/handler.js';
import {
  replica,
  replicaClass,
  type ReplicaClass,
  ReplicaEntity,
} from '../../../src/replication/replica/definition/replica-entity.js';
import type { SaveContext } from '../../../src/replication/replica/definition/replica-hooks.js';
import type { WireObject } from '../../../src/wire/values.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, type MessageOptions, START } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

/** Two tables that refer to each other, one that refers to itself, and one that does so by a key of two columns. */
function schemas() {
  const Left = defineEntity({
    name: 'LeftRef',
    tableName: 'left_ref',
    extends: ReplicaEntity,
    properties: {
      id: p.integer().primary(),
      name: p.string().nullable(),
      right: () => p.manyToOne(Right).nullable().deleteRule('no action'),
      note: p.string().default('untouched').nullable(),
    },
  });
  const Right = defineEntity({
    name: 'RightRef',
    tableName: 'right_ref',
    extends: ReplicaEntity,
    properties: {
      id: p.integer().primary(),
      name: p.string().nullable(),
      left: () => p.manyToOne(Left).nullable().deleteRule('no action'),
    },
  });
  const Node = defineEntity({
    name: 'NodeRef',
    tableName: 'node_ref',
    extends: ReplicaEntity,
    properties: {
      id: p.uuid().primary(),
      name: p.string().nullable(),
      next: () => p.manyToOne(Node).nullable().deleteRule('no action'),
    },
  });
  return { Left, Right, Node };
}

const mapping = {
  left: { id: 'id', name: 'name', right: 'right' },
  right: { id: 'id', name: 'name', left: 'left' },
  node: { id: 'id', name: 'name', next: 'next' },
} as const;

/** What hooks were told. */
const calls: string[] = [];

function rowsService() {
  const { Left, Right, Node } = schemas();
  return [
    replica(Left, { id: 'left', mapping: mapping.left }),
    replica(Right, { id: 'right' }),
    replica(Node, { id: 'node' }),
  ];
}

function hooksService() {
  const { Left, Right, Node } = schemas();
  const cqrsUpdate = (row: object, em: EntityManager, { mappedData, awaitedReferences }: never): void => {
    calls.push(`update ${String(mappedData['name'])} ${String(awaitedReferences ?? '-')}`);
    em.assign(row, mappedData as never);
  };
  return [
    replica(Left, { id: 'left', mapping: mapping.left, cqrsUpdate: cqrsUpdate as never }),
    replica(Right, { id: 'right', cqrsUpdate: cqrsUpdate as never }),
    replica(Node, { id: 'node', cqrsUpdate: cqrsUpdate as never }),
  ];
}

function mixedService() {
  const { Left, Right, Node } = schemas();
  return [
    replica(Left, {
      id: 'left',
      mapping: mapping.left,
      cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never),
    }),
    replica(Right, { id: 'right' }),
    replica(Node, { id: 'node' }),
  ];
}

function savingService() {
  const { Left, Right, Node } = schemas();
  class LeftRef extends replicaClass(Left) {
    static override CQRS_ID = 'left';
    static override CQRS_MAPPING = mapping.left;
    static override cqrsSave(em: EntityManager, data: WireObject, context: SaveContext = {}): Promise<Outcome | void> {
      return super.cqrsSave(em, data, context);
    }
  }
  class RightRef extends replicaClass(Right) {
    static override CQRS_ID = 'right';
    static override cqrsSave(em: EntityManager, data: WireObject, context: SaveContext = {}): Promise<Outcome | void> {
      return super.cqrsSave(em, data, context);
    }
  }
  class NodeRef extends replicaClass(Node) {
    static override CQRS_ID = 'node';
    static override cqrsSave(em: EntityManager, data: WireObject, context: SaveContext = {}): Promise<Outcome | void> {
      return super.cqrsSave(em, data, context);
    }
  }
  Left.setClass(LeftRef as never);
  Right.setClass(RightRef as never);
  Node.setClass(NodeRef as never);
  return [LeftRef, RightRef, NodeRef];
}

const KINDS = ['rows', 'hooks', 'mixed', 'cqrsSave'] as const;
let database: TestDatabase;
const services = {} as Record<(typeof KINDS)[number], ReplicaService>;

beforeAll(async () => {
  database = await createDatabase();
  services.rows = await ReplicaService.start(database.url, rowsService());
  services.hooks = await ReplicaService.start(database.url, hooksService());
  services.mixed = await ReplicaService.start(database.url, mixedService());
  services.cqrsSave = await ReplicaService.start(database.url, savingService());
  await services.rows.orm.schema.create();
});
afterAll(async () => {
  for (const service of Object.values(services)) await service.stop();
  await database.drop();
});
beforeEach(async () => {
  calls.length = 0;
  for (const { seen } of Object.values(services)) seen.length = 0;
  await sql('update left_ref set right_id = null');
  for (const table of ['right_ref', 'left_ref', 'node_ref', 'cqrs_tombstones']) await sql(`delete from ${table}`);
});

const MICROS = '(extract(epoch from cqrs_updated) * 1000000)::bigint::text as updated';
const sql = (text: string): Promise<Record<string, string | null>[]> => services.rows.rows(text);
const left = (right: number | null, options: MessageOptions = {}): Received =>
  message({ id: 1, name: `left ${options.revision ?? 0}`, right }, { cqrsId: 'left', ...options });
const right = (to: number | null, options: MessageOptions = {}): Received =>
  message({ id: 1, name: `right ${options.revision ?? 0}`, left: to }, { cqrsId: 'right', ...options });

/** Hands in batches, then what waits, in the same order, until nothing does. @returns the ends of each attempt */
async function untilNothingWaits(
  service: ReplicaService,
  batches: readonly (readonly Received[])[],
): Promise<string[][]> {
  const ends: string[][] = [];
  let waiting: Received[] = [];
  const handle = async (batch: readonly Received[]): Promise<void> => {
    if (batch.length === 0) return;
    try {
      const outcomes = await service.handle(batch);
      ends.push(brief(outcomes));
      waiting.push(...batch.filter((_, index) => outcomes[index]!.kind === 'failed'));
    } catch (error) {
      // As the consumer: in halves.
      if (batch.length === 1) throw error;
      await handle(batch.slice(0, batch.length / 2));
      await handle(batch.slice(batch.length / 2));
    }
  };
  for (const batch of batches) await handle(batch);
  for (let round = 0; waiting.length > 0; round++) {
    expect(round).toBeLessThan(5);
    const again = waiting;
    waiting = [];
    for (const one of again) await handle([one]);
  }
  return ends;
}

async function deferred(is: boolean): Promise<void> {
  for (const [table, name] of [
    ['left_ref', 'left_ref_right_id_foreign'],
    ['right_ref', 'right_ref_left_id_foreign'],
    ['node_ref', 'node_ref_next_id_foreign'],
  ]) {
    await sql(
      `alter table ${table} alter constraint ${name} ${is ? 'deferrable initially deferred' : 'not deferrable'}`,
    );
  }
}

const cuts: readonly (readonly [string, (pair: readonly [Received, Received]) => Received[][]])[] = [
  ['in one batch', ([a, b]) => [[a, b]]],
  ['in one batch, the other way round', ([a, b]) => [[b, a]]],
  ['one after the other', ([a, b]) => [[a], [b]]],
  ['one after the other, the other way round', ([a, b]) => [[b], [a]]],
  ['each twice', ([a, b]) => [[a], [a, b], [b]]],
];
const ways = KINDS.flatMap((kind) => [[kind, 'checked at once', false] as const, [kind, 'deferred', true] as const]);

describe.each(ways)('rows that refer to each other arrive, whatever the batch cut (%s, %s)', (kind, _, isDeferred) => {
  const service = (): ReplicaService => services[kind];
  beforeAll(() => deferred(isDeferred));

  test.each(cuts)('%s', async (__, batches) => {
    for (const [id, incarnation] of [[1, 5] as const, [2, null] as const]) {
      const pair = [
        message({ id, name: 'l', right: id }, { cqrsId: 'left', incarnation }),
        message({ id, name: 'r', left: id }, { cqrsId: 'right', incarnation }),
      ] as const;
      const ends = await untilNothingWaits(service(), batches(pair));
      expect(await sql(`select name, right_id, ${MICROS} from left_ref where id = ${id}`)).toEqual([
        { name: 'l', right_id: id, updated: String(START) },
      ]);
      expect(await sql(`select name, left_id, ${MICROS} from right_ref where id = ${id}`)).toEqual([
        { name: 'r', left_id: id, updated: String(START) },
      ]);
      // In one transaction where both are in hand.
      if (batches(pair).length === 1) expect(ends).toEqual([['create', 'create']]);
    }
    const ids = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`);
    const node = (at: number): Received =>
      message({ id: ids[at]!, name: `node ${at}`, next: ids[(at + 1) % 3]! }, { cqrsId: 'node' });
    await untilNothingWaits(service(), [...batches([node(0), node(1)]), [node(2)]]);
    expect(await sql('select id, next_id from node_ref order by id')).toEqual(
      ids.map((id, at) => ({ id, next_id: ids[(at + 1) % 3] })),
    );
    expect(service().seen.map(({ name }) => name)).not.toContain('cqrs.replica.order-doubted');
    // And they go.
    const gone = { signal: 'DELETE', revision: 1, incarnation: 5 } as const;
    await untilNothingWaits(service(), batches([left(1, gone), right(1, gone)]));
    expect(await sql('select id from left_ref union all select id from right_ref where id = 1')).toEqual([{ id: 2 }]);
    expect(await untilNothingWaits(service(), [[left(1, { incarnation: 5 })]])).toEqual([['stale']]);
  });
});

describe.each(KINDS)('while the other row has not come (%s)', (kind) => {
  const service = (): ReplicaService => services[kind];
  beforeAll(() => deferred(false));

  // claims: cyclic-references
  test('the row is stored without the reference, a microsecond below its version, and its message says why', async () => {
    const [outcome] = await service().handle([left(7, { incarnation: 3, revision: 2 })]);
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'foreign-key',
      error: { message: 'The row that right refers to has not come; its own is stored without the reference.' },
    });
    expect(await sql(`select name, right_id, cqrs_revision, cqrs_incarnation, ${MICROS} from left_ref`)).toEqual([
      { name: 'left 2', right_id: null, cqrs_revision: 2, cqrs_incarnation: '3', updated: String(START + 2_000 - 1) },
    ]);
    expect(await service().handle([left(7, { incarnation: 3, revision: 2 })])).toMatchObject([
      { reason: 'foreign-key' },
    ]);
  });

  // claims: cyclic-references
  test('older messages stay older, newer ones newer, and the one that waits applies', async () => {
    await service().handle([left(1, { revision: 2 })]);
    expect(brief(await service().handle([left(null, { revision: 1 })]))).toEqual(['stale']);
    expect(brief(await service().handle([left(1, { revision: 3 })]))).toEqual(['failed foreign-key']);
    expect(brief(await service().handle([left(1, { revision: 2 })]))).toEqual(['stale']);
    await untilNothingWaits(service(), [[right(1)], [left(1, { revision: 3 })]]);
    expect(await sql('select name, right_id from left_ref')).toEqual([{ name: 'left 3', right_id: 1 }]);
    expect(await sql('select left_id from right_ref')).toEqual([{ left_id: 1 }]);
  });

  test('a newer state without it ends the wait', async () => {
    await service().handle([left(7, { revision: 1 })]);
    await service().handle([left(null, { revision: 2 })]);
    expect(brief(await service().handle([left(7, { revision: 1 })]))).toEqual(['stale']);
    expect(await sql('select name, right_id from left_ref')).toEqual([{ name: 'left 2', right_id: null }]);
  });

  test('many states of it wait for no more than the last one', async () => {
    const states = Array.from({ length: 20 }, (_, revision) => left(1, { revision }));
    const ends = await untilNothingWaits(service(), [states.slice(0, 10), states.slice(10), [right(null)]]);
    expect(ends.flat().filter((end) => end === 'update' || end === 'create').length).toBeGreaterThan(0);
    expect(await sql('select name, right_id from left_ref')).toEqual([{ name: 'left 19', right_id: 1 }]);
  });

  test('its deletion ends the wait', async () => {
    await service().handle([left(7, { revision: 1 })]);
    expect(brief(await service().handle([left(null, { signal: 'DELETE', revision: 2 })]))).toEqual(['delete']);
    expect(brief(await service().handle([left(7, { revision: 1 })]))).toEqual(['stale']);
    expect(await sql('select id from left_ref')).toEqual([]);
  });

  test('what the replica alone has of the row stays when the reference comes', async () => {
    await service().handle([left(1, { incarnation: null })]);
    await sql(`update left_ref set note = 'mine'`);
    await untilNothingWaits(service(), [[right(null, { incarnation: null })], [left(1, { incarnation: null })]]);
    expect(await sql('select right_id, note from left_ref')).toEqual([{ right_id: 1, note: 'mine' }]);
  });
});

test('a SYNC and a new incarnation wait, too, and are repeated without harm', async () => {
  const service = services.rows;
  await service.handle([left(null, { incarnation: 1 })]);
  const born = left(1, { incarnation: 2 });
  expect(brief(await service.handle([born]))).toEqual(['failed foreign-key']);
  await service.handle([right(1)]);
  expect(brief(await service.handle([born]))).toEqual(['update']);
  expect(brief(await service.handle([left(8, { incarnation: 2, signal: 'SYNC' })]))).toEqual(['failed foreign-key']);
  expect(await sql('select right_id from left_ref')).toEqual([{ right_id: 1 }]);
});

test('hooks are handed the state without the reference, and then as it came', async () => {
  await services.hooks.handle([left(null), right(null)]);
  calls.length = 0;
  await services.hooks.handle([left(7, { revision: 1 })]);
  await services.hooks.handle([right(1), message({ id: 7, name: 'seven', left: null }, { cqrsId: 'right' })]);
  await services.hooks.handle([left(7, { revision: 1 })]);
  expect(calls.filter((call) => call.includes('left 1'))).toEqual([
    'update left 1 -',
    'update left 1 right',
    'update left 1 -',
  ]);
});

test('a deletion that a row holds up waits, and holds up no other; what it referred to may go', async () => {
  await deferred(false);
  await untilNothingWaits(services.rows, [[left(1), right(1)]]);
  const gone = { signal: 'DELETE', revision: 1 } as const;
  expect(brief(await services.rows.handle([left(null, gone)]))).toEqual(['failed foreign-key']);
  expect(await sql('select right_id from left_ref')).toEqual([{ right_id: null }]);
  expect(brief(await services.rows.handle([right(null, gone)]))).toEqual(['delete']);
  expect(brief(await services.rows.handle([left(null, gone)]))).toEqual(['delete']);
});

test('a foreign key that is on no cycle is waited for as ever, with nothing stored', async () => {
  await sql('create table if not exists outside (id int primary key)');
  await sql('alter table left_ref add constraint outside foreign key (id) references outside (id)');
  try {
    expect(brief(await services.rows.handle([left(7)]))).toEqual(['failed foreign-key']);
    expect(await sql('select id from left_ref')).toEqual([]);
  } finally {
    await sql('alter table left_ref drop constraint outside');
  }
});

test('where the column may not be null after all, the message waits and nothing is stored', async () => {
  await sql('alter table left_ref add constraint chosen check (right_id is not null)');
  try {
    expect(brief(await services.rows.handle([left(7)]))).toEqual(['failed foreign-key']);
    expect(await sql('select id from left_ref')).toEqual([]);
  } finally {
    await sql('alter table left_ref drop constraint chosen');
  }
});

test('by hand nothing is tried again: the error is thrown, and nothing stored', async () => {
  const { entity } = services.rows.side.replicas.get('left');
  const em = services.rows.orm.em.fork();
  const data = { id: 1, name: 'x', right: 7, cqrs_revision: 0, cqrs_updated: '2026-01-01 00:00:00+00:00' };
  await expect((entity as never as ReplicaClass).cqrs(em).saveInstance(data)).rejects.toThrow(/foreign key|23503/i);
  expect(await sql('select id from left_ref')).toEqual([]);
});

describe('told at start', () => {
  const warnings = async () => {
    expect(await services.rows.side.checkTables()).toEqual([]);
    return services.rows.side.warnings.filter(({ what }) => /^refers? to/.test(what));
  };

  test('nothing, where a reference of each cycle can be left out', async () => {
    expect(await warnings()).toEqual([]);
    await sql('alter table left_ref alter right_id set not null');
    expect(await warnings()).toEqual([]);
  });

  test('cycles on which every reference is NOT NULL, with the cure', async () => {
    await sql('alter table right_ref alter left_id set not null');
    await sql('alter table node_ref alter next_id set not null');
    try {
      expect(await warnings()).toMatchObject([
        {
          where: 'LeftRef and RightRef',
          what: 'refer to each other by foreign keys that are NOT NULL (left_ref_right_id_foreign, right_ref_left_id_foreign): their rows can never be applied, unless the rows that they refer to are there already.',
          cure: expect.stringContaining("Let one of them be NULL in the replica's table") as unknown,
        },
        expect.objectContaining({
          where: 'NodeRef',
          what: expect.stringContaining('refers to itself by foreign keys that are NOT NULL') as unknown,
        }),
      ]);
    } finally {
      await sql('alter table left_ref alter right_id drop not null');
      await sql('alter table right_ref alter left_id drop not null');
      await sql('alter table node_ref alter next_id drop not null');
    }
  });
});
