import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { CompiledQuery } from 'kysely';
import { prepared } from '../../src/postgres/prepared-statements.js';
import { withCommit, withNext } from '../../src/postgres/round-trips.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), text: p.text() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

type Transaction = { executeQuery(query: CompiledQuery): Promise<unknown> };

interface Client {
  query(text: string, ...rest: unknown[]): unknown;
  release(): void;
}

let service: MasterService;
/** The only one there is. */
let client: Client;
/** Every statement that reached the database, as one message each. */
const messages: string[] = [];

beforeAll(async () => {
  service = await masterService([Note], { options: { pool: { min: 1, max: 1 } } });
  const pool = (await service.orm.em.getConnection().getNativeClient()) as {
    connect(): Promise<Client>;
  };
  client = await pool.connect();
  const query = client.query.bind(client);
  client.query = (text, ...rest) => {
    messages.push(text);
    return query(text, ...rest);
  };
  client.release();
  // Clients are watched from the first transaction with a message on.
  await create('first');
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('truncate note, cqrs_outbox /* cqrs */');
  messages.length = 0;
});

async function create(text: string): Promise<Note> {
  const em = service.orm.em.fork();
  const note = em.create(Note, { text } as never) as unknown as Note;
  await em.flush();
  return note;
}

async function texts(): Promise<string[]> {
  return (await service.sql<{ text: string }>('select text from note order by id')).map((row) => row.text);
}

test('a flush of one row is two messages to the database', async () => {
  await create('a');
  expect(messages).toEqual([
    expect.stringMatching(/^begin; insert into "note" .*$/s),
    expect.stringMatching(/insert into "cqrs_outbox" .*; commit$/s),
  ]);
});

test.each([`it's`, 'back\\slash', '\\', `'; rollback; --`, 'line\nbreak', '$1 ? ??', 'é 漢 🙂', '"', `\\'`])(
  'what the row holds arrives to the letter: %j',
  async (text) => {
    await create(text);
    await service.sql('set standard_conforming_strings = off');
    await create(text);
    await service.sql('set standard_conforming_strings = on');
    expect((await service.take()).map(({ data }) => data['text'])).toEqual([text, text]);
  },
);

describe('when the message cannot be written', () => {
  beforeAll(() => service.sql(`alter table cqrs_outbox add constraint refused check (body not like '%refuse me%')`));
  afterAll(() => service.sql('alter table cqrs_outbox drop constraint refused'));

  // claims: atomic-capture
  test('the flush rejects, the row is not there, and the connection goes on', async () => {
    await expect(create('refuse me')).rejects.toThrow(/refused/);
    expect(await texts()).toEqual([]);
    expect(messages.at(-1)).not.toMatch(/commit/);
    await create('welcome');
    expect(await texts()).toEqual(['welcome']);
    expect(await service.take()).toHaveLength(1);
  });

  test('so does the transaction that holds many', async () => {
    const work = service.orm.em.fork().transactional(async (em) => {
      em.create(Note, { text: 'good' } as never);
      await em.flush();
      em.create(Note, { text: 'refuse me' } as never);
    });
    await expect(work).rejects.toThrow(/refused/);
    expect(await texts()).toEqual([]);
    expect(await service.take()).toEqual([]);
  });
});

test('a transaction whose failure was swallowed does not pass for committed', async () => {
  const work = service.orm.em.fork().transactional(async (em) => {
    await em.insert(Note, { text: 'lost' } as never);
    await em.execute('select 1 / 0').catch(() => {});
  });
  await expect(work).rejects.toThrow(/aborted/);
  expect(await texts()).toEqual([]);
  expect(await service.take()).toEqual([]);
});

test('what a rolled back transaction would have said is not said by the next one', async () => {
  const work = service.orm.em.fork().transactional(async (em) => {
    await em.insert(Note, { text: 'taken back' } as never);
    throw new Error('changed my mind');
  });
  await expect(work).rejects.toThrow('changed my mind');
  await create('next');
  expect((await service.take()).map(({ data }) => data['text'])).toEqual(['next']);
});

test('several statements may wait for one COMMIT; none is lost, whatever comes between', async () => {
  const append = (trx: never, text: string) =>
    (trx as Transaction).executeQuery(
      CompiledQuery.raw(withCommit(`insert into note (text) values ('${text}') /* cqrs */`)),
    );
  const connection = service.orm.em.getConnection();
  await connection.transactional(async (trx) => {
    await append(trx as never, 'a');
    await append(trx as never, 'b');
    await (trx as unknown as Transaction).executeQuery(CompiledQuery.raw('select $1::int', [1]));
    await append(trx as never, 'c');
    expect(await connection.execute('select count(*)::int as count from note', [], 'all', trx)).toEqual([{ count: 3 }]);
    await append(trx as never, 'd');
    await append(trx as never, 'e');
  });
  expect(await texts()).toEqual(['a', 'b', 'c', 'd', 'e']);
});

describe.each([
  { how: 'together', unknown: false },
  { how: 'one after another, by a client that is not known', unknown: true },
])('statements that wait for others, $how', ({ unknown }) => {
  beforeAll(() => void (unknown && Object.defineProperty(client, 'constructor', { value: {}, configurable: true })));
  afterAll(() => void Reflect.deleteProperty(client, 'constructor'));

  interface Answering {
    executeQuery(query: CompiledQuery): Promise<{ rows: unknown[] }>;
  }
  const run = (trx: unknown, sql: string, parameters: unknown[] = []) =>
    (trx as Answering).executeQuery(CompiledQuery.raw(sql, parameters));
  const transaction = <T>(work: (trx: unknown) => Promise<T>): Promise<T> =>
    service.orm.em.getConnection().transactional(work as never);

  test('have their rows when it is answered, with or without parameters, in their order', async () => {
    await transaction(async (trx) => {
      const early = [
        await run(trx, withNext('select 1 as a')),
        await run(trx, withNext('select 2 as a')),
        await run(trx, withNext('select $1::int as a from generate_series(1, 2)'), [3]),
        await run(trx, withNext('select 4 as a')),
      ];
      expect(early.map(({ rows }) => rows)).toEqual([[], [], [], []]);
      expect((await run(trx, 'select $1::int as a', [5])).rows).toEqual([{ a: 5 }]);
      expect(early.map(({ rows }) => rows)).toEqual([[{ a: 1 }], [{ a: 2 }], [{ a: 3 }, { a: 3 }], [{ a: 4 }]]);
      const simple = await run(trx, withNext('select 6 as a'));
      expect((await run(trx, 'select 7 as a')).rows).toEqual([{ a: 7 }]);
      expect(simple.rows).toEqual([{ a: 6 }]);
    });
  });

  test('fail with their own error, and nothing behind them is done', async () => {
    const failing = transaction(async (trx) => {
      await run(trx, withNext('select 1 / $1::int'), [0]);
      await run(trx, withNext(`insert into note (text) values ($1) /* cqrs */`), ['behind']);
      await run(trx, 'select $1::int', [1]);
    });
    await expect(failing).rejects.toThrow(/division by zero/);
    expect(await texts()).toEqual([]);
  });

  test('have their rows when the COMMIT is answered, where they wait for that', async () => {
    const late = await transaction(async (trx) => {
      await run(trx, withNext('select 1 as a'));
      return [
        await run(trx, withCommit('select $1::int as a'), [2]),
        await run(trx, withCommit('insert into note (text) values ($1) returning text /* cqrs */'), ['late']),
        await run(trx, withCommit('select 3 as a')),
      ];
    });
    expect(late.map(({ rows }) => rows)).toEqual([[{ a: 2 }], [{ text: 'late' }], [{ a: 3 }]]);
    expect(messages).toHaveLength(unknown ? 6 : 1);
    expect(await texts()).toEqual(['late']);
  });

  test('are not committed when one of them fails, and what it prepared is prepared again', async () => {
    const insert = prepared('insert into note (text) values ($1) /* cqrs */');
    const attempt = (divisor: number) =>
      transaction(async (trx) => {
        await run(trx, withCommit(prepared('select 1 / $1::int')), [divisor]);
        await run(trx, withCommit(insert), ['behind']);
      });
    await expect(attempt(0)).rejects.toThrow(/division by zero/);
    expect(await texts()).toEqual([]);
    await attempt(1);
    await attempt(1);
    expect(await texts()).toEqual(['behind', 'behind']);
  });

  test('are not sent when one of them cannot be, nor is the COMMIT', async () => {
    const failing = transaction(async (trx) => {
      await run(trx, withCommit('insert into note (text) values ($1) /* cqrs */'), ['before']);
      const text = {
        toPostgres: () => {
          throw new Error('cannot be sent');
        },
      };
      await run(trx, withCommit('insert into note (text) values ($1) /* cqrs */'), [text]);
    });
    await expect(failing).rejects.toThrow('cannot be sent');
    expect(await texts()).toEqual([]);
    await create('after');
    expect(await texts()).toEqual(['after']);
  });

  test('go before a text of several statements', async () => {
    await transaction(async (trx) => {
      const early = await run(trx, withNext('select $1::int as a'), [1]);
      await run(
        trx,
        `insert into note (text) values ('a') /* cqrs */; insert into note (text) values ('b') /* cqrs */`,
      );
      expect(early.rows).toEqual([{ a: 1 }]);
    });
    expect(await texts()).toEqual(['a', 'b']);
  });

  // The COMMIT of an aborted transaction is answered with ROLLBACK, which is an error to nobody.
  test('and so does a COMMIT right behind them', async () => {
    const failing = transaction(async (trx) => {
      await run(trx, `insert into note (text) values ('before') /* cqrs */`);
      await run(trx, withNext('select 1 / $1::int'), [0]);
    });
    await expect(failing).rejects.toThrow(/division by zero/);
    expect(await texts()).toEqual([]);
    await create('after');
    expect(await texts()).toEqual(['after']);
  });

  test('are forgotten with a transaction that is rolled back', async () => {
    const failing = transaction(async (trx) => {
      await run(trx, 'select 1');
      await run(trx, withNext(`insert into note (text) values ($1) /* cqrs */`), ['held']);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    await create('after');
    expect(await texts()).toEqual(['after']);
  });
});

test('a transaction without a statement costs nothing', async () => {
  await service.orm.em.fork().transactional(async () => {});
  await expect(service.orm.em.fork().transactional(async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(messages).toEqual([]);
});

test('many rows travel by themselves, before the COMMIT', async () => {
  const rows = Array.from({ length: 500 }, (_, index) => ({ text: `n${index}` }));
  await service.orm.em.fork().insertMany(Note, rows as never);
  expect(messages.at(-1)).toBe('commit');
  expect(await service.take()).toHaveLength(500);
});
