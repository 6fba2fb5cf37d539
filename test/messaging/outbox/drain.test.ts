import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import type { Kysely } from 'kysely';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { Drain, type HandedPage, type Turn } from '../../../src/messaging/outbox/drain.js';
import { Pace } from '../../../src/messaging/outbox/pace.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** The outbox of a real database, emptied by the tests in the place of a relay. */

const NoteSchema = defineEntity({ name: 'Note', extends: MasterEntity, properties: { id: p.integer().primary() } });
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Note]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('delete from cqrs_outbox');
});

async function put(signal: 'SAVE' | 'SYNC', count: number): Promise<string[]> {
  const rows = await service.sql<{ id: string }>(
    `insert into cqrs_outbox (bucket, cqrs_id, signal, key, body)
     select 0, 'note', '${signal}', n::text, '{}' from generate_series(1, ${count}) n returning id::text`,
  );
  return rows.map(({ id }) => id);
}
const waiting = async (signal: string): Promise<number> => {
  const [row] = await service.sql<{ count: number }>(
    `select count(*)::int as count from cqrs_outbox where signal = '${signal}'`,
  );
  return row!.count;
};
const leave = (signal: string, count: number): Promise<unknown> =>
  service.sql(
    `delete from cqrs_outbox where id in (select id from cqrs_outbox where signal = '${signal}' order by id limit ${count})`,
  );

/** A drain that does `onLook` before each of its looks at the outbox. */
function drain(onLook: (look: number) => Promise<unknown> | void): Drain {
  let look = 0;
  return new Drain({
    tables: { outbox: 'cqrs_outbox', held: 'cqrs_held', routes: 'cqrs_routes' },
    wake: () => {},
    async client() {
      await onLook(++look);
      const connection = service.orm.em.getConnection();
      return connection.getClient() as Kysely<never>;
    },
  });
}

describe('live messages go first', () => {
  test('no page is made while more than a few wait', async () => {
    const atMaking: number[] = [];
    async function* pages(turn: Turn): AsyncGenerator<HandedPage> {
      for (let page = 0; page < 2 && (await turn()); page++) {
        atMaking.push(await waiting('SAVE'));
        if (page === 0) await put('SAVE', 150);
        yield { outboxIds: [] };
      }
    }
    await drain((look) => (look >= 8 ? leave('SAVE', 30) : undefined)).run(pages, { onRelayed: () => {} });
    expect(atMaking[0]).toBe(0);
    expect(atMaking[1]).toBeGreaterThan(0);
    expect(atMaking[1]).toBeLessThanOrEqual(100);
  });

  test('beside a few of them there is one page in the outbox, else there are two', async () => {
    const made = async (live: number): Promise<number[]> => {
      await service.sql('delete from cqrs_outbox');
      await put('SAVE', live);
      const atMaking: number[] = [];
      async function* pages(turn: Turn): AsyncGenerator<HandedPage> {
        for (let page = 0; page < 3 && (await turn()); page++) {
          atMaking.push(await waiting('SYNC'));
          yield { outboxIds: await put('SYNC', 10) };
        }
      }
      await drain((look) => (look % 4 === 0 ? leave('SYNC', 10) : undefined)).run(pages, { onRelayed: () => {} });
      return atMaking;
    };
    expect(await made(5)).toEqual([0, 0, 0]);
    expect((await made(0))[1]).toBe(10);
  });
});

test('an aborted drain tells of the page in hand when it has left', async () => {
  const abort = new AbortController();
  const told: number[] = [];
  async function* pages(turn: Turn): AsyncGenerator<HandedPage> {
    while (await turn()) yield { outboxIds: await put('SYNC', 3) };
  }
  const work = drain((look) => {
    if (look === 2) abort.abort();
    return look === 5 ? leave('SYNC', 3) : undefined;
  });
  await work.run(pages, { signal: abort.signal, onRelayed: ({ outboxIds }) => told.push(outboxIds.length) });
  expect(told).toEqual([3]);
});

test('what does not leave after an abort is not told of, and stays', async () => {
  const abort = new AbortController();
  const told: number[] = [];
  async function* pages(turn: Turn): AsyncGenerator<HandedPage> {
    while (await turn()) yield { outboxIds: await put('SYNC', 3) };
  }
  await drain((look) => (look === 2 ? abort.abort() : undefined)).run(pages, {
    signal: abort.signal,
    onRelayed: ({ outboxIds }) => told.push(outboxIds.length),
  });
  expect(told).toEqual([]);
  expect(await waiting('SYNC')).toBe(3);
}, 20_000);

describe('the pace', () => {
  test('is kept over time, whatever the pages cost', () => {
    const pace = new Pace(100, 0);
    expect(pace.wait(100, 300)).toBe(700);
    expect(pace.wait(50, 1_000)).toBe(500);
  });

  test('does not make up for time in which it was slower', () => {
    const pace = new Pace(100, 0);
    expect(pace.wait(100, 60_000)).toBe(0);
    expect(pace.wait(100, 60_000)).toBe(1_000);
  });

  test('without a limit nobody waits', () => {
    expect(new Pace(Infinity, 0).wait(1_000_000, 5)).toBe(0);
  });
});
