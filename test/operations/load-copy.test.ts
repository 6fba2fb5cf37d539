import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import fc from 'fast-check';
import { TransportPayload } from '../../src/wire/payload.js';
import { parseJson, type WireObject } from '../../src/wire/values.js';
import { Cqrs } from '../../src/cqrs.js';
import type { Received } from '../../src/messaging/inbox/handler.js';
import { loadRows } from '../../src/operations/load.js';
import { ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { MemoryTransport } from '../../src/messaging/transport/memory.js';
import { KindsRef } from '../replication/replica/support/kinds.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { loadResult, pieces } from './streams.js';

/** What a load writes by COPY is what it would have written without. */

const NoteSchema = defineEntity({
  name: 'NoteRef',
  tableName: 'note_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), text: p.string().length(20).nullable() },
});
class NoteRef extends NoteSchema.class {
  static CQRS_ID = 'note';
}
NoteSchema.setClass(NoteRef);

const AnimalSchema = defineEntity({
  name: 'AnimalRef',
  tableName: 'animal_ref',
  extends: ReplicaEntity,
  abstract: true,
  discriminatorColumn: 'kind',
  properties: { id: p.integer().primary().autoincrement(false), kind: p.string() },
});
class AnimalRef extends AnimalSchema.class {}
AnimalSchema.setClass(AnimalRef);
const CatSchema = defineEntity({
  name: 'CatRef',
  extends: AnimalSchema,
  discriminatorValue: `cat\t'\\`,
  properties: { name: p.text() },
});
class CatRef extends CatSchema.class {
  static CQRS_ID = 'cat';
}
CatSchema.setClass(CatRef);

let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;
const sql = <T = Record<string, unknown>>(text: string): Promise<T[]> => orm.em.getConnection().execute(text);

beforeAll(async () => {
  database = await createDatabase();
  cqrs = new Cqrs({ transport: new MemoryTransport(), queue: 'load' });
  const entities = [NoteRef, AnimalRef, CatRef, KindsRef];
  orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  await orm.schema.create();
  await sql(`create table ways (way text);
    create function note_way() returns trigger language plpgsql as $$ begin
      insert into ways values (case when current_query() like '%copy %' then 'copy' else 'upsert' end);
      return null;
    end $$`);
  for (const table of ['note_ref', 'animal_ref', 'kinds_ref']) {
    await sql(`create trigger way after insert on ${table} for each statement execute function note_way()`);
  }
});
afterAll(async () => {
  await orm.close();
  await database.drop();
});
// A service of its own each time, since a load remembers for a while that COPY was of no use.
beforeEach(async () => {
  await sql('truncate note_ref, animal_ref, kinds_ref, cqrs_tombstones, ways');
  await orm.close();
  cqrs = new Cqrs({ transport: new MemoryTransport(), queue: 'load' });
  const entities = [NoteRef, AnimalRef, CatRef, KindsRef];
  orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
});

const ways = async () => (await sql<{ way: string }>('select way from ways')).map(({ way }) => way);
const line = (id: number, revision = 0, over: WireObject = {}): string =>
  JSON.stringify({
    id,
    text: `n${revision}`,
    cqrs_revision: revision,
    cqrs_updated: '2026-01-02 03:04:05.123456+00:00',
    cqrs_incarnation: 1,
    ...over,
  });
const many = (count: number): string[] => Array.from({ length: count }, (_, index) => line(index + 1));
const notes = () =>
  sql<{ id: number; text: string | null; r: number }>('select id, text, cqrs_revision as r from note_ref order by id');

async function load(lines: readonly string[], { id = 'note', ...options }: Record<string, unknown> = {}) {
  const problems: string[] = [];
  const result = await loadRows(cqrs, pieces([id, ...lines].join('\n'), 10_000), {
    onFailure: (at, reason) => void problems.push(`${at}: ${reason}`),
    ...options,
  });
  return { result, problems };
}

function received(cqrsId: string, text: string, signalType: 'SAVE' | 'DELETE' = 'SAVE'): Received {
  const { cqrs_incarnation, ...instanceData } = parseJson(text) as WireObject;
  const payload = new TransportPayload({
    signalType,
    cqrsId,
    instanceData,
    incarnation: cqrs_incarnation as number,
  });
  return { payload, committedAt: new Date(), direct: false, expired: false };
}

describe('what is new goes in by COPY', () => {
  test('in batches, without and with --clear, and without incarnations', async () => {
    for (const options of [{ batchSize: 4 }, { clear: true }]) {
      await sql('truncate note_ref, ways');
      expect((await load(many(10), options)).result).toEqual(loadResult({ loaded: 10 }));
      expect(await notes()).toEqual(many(10).map((_, index) => ({ id: index + 1, text: 'n0', r: 0 })));
      expect(await ways()).toEqual(Array('clear' in options ? 1 : 3).fill('copy'));
    }
    await sql('truncate note_ref, ways');
    await load([1, 2].map((id) => line(id, 3, { cqrs_incarnation: undefined as never })));
    expect(await ways()).toEqual(['copy']);
    expect(await sql('select id from note_ref where cqrs_incarnation is null')).toHaveLength(2);
  });

  test('every type of column is the same by COPY and by the consumer', async () => {
    const fields = Object.entries({
      small: [1, '-32768', ' 7'],
      big: ['9223372036854775807', -5],
      flt: ['NaN', '-Infinity', 1.5e300, '1e-5'],
      single: [0.1, '3'],
      dec2: ['7.105', 19.9, '-0.004', 'NaN'],
      dec_big: ['12345678901234567890.123456789012345678'],
      dec_free: ['123456789012345678901234567890.123456789012345678901', 'Infinity'],
      flag: [true, 0],
      short: ['äöü', 'a  ', 'ab         ', ''],
      fixed: ['ab', 'abcd    ', ''],
      text: [
        '\\',
        '\\N',
        '\\.',
        'a\tb',
        'a\nb',
        'a\r\nb',
        '\\t',
        '\b\f\v',
        'é 漢 🙂',
        '',
        ' ',
        'null',
        '"',
        "'",
        '\x1e\x1f',
      ],
      day: ['2024-02-29', 'infinity', '0044-03-15 BC'],
      clock: ['10:11:12.000345', '24:00:00'],
      at: [
        '2024-01-02 03:04:05.123456+00:00',
        '2024-01-02T03:04:05.123456789+02:00',
        '2024-01-02 03:04:05',
        'infinity',
      ],
      seconds: ['2024-01-02 03:04:05.500000+00:00', '2024-01-02 03:04:05.499999+00:00'],
      naive: ['2024-01-02 03:04:05.123456+02:00', '-infinity'],
      uid: ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{a0eebc999c0b4ef8bb6d6bb9bd380a11}'],
      js: [{ b: [1, null, 'x\ty\\'], a: 'é' }, [], '"', null, 'text', { a: '\n' }],
      words: [['a', 'b c', null, '"q"', '{x}', '', '\\', 'a\tb', 'NULL'], []],
      numbers: [[1, '9007199254740993', null]],
      bytes: ['AAH/', '', 'XAkNCg=='],
      span: ['1 day 02:03:04.5', 'P1Y2M'],
      state: ['open', 'closed'],
    } as Record<string, WireObject[string][]>);
    const empty = Object.fromEntries(fields.map(([field]) => [field, null]));
    const lines = fields
      .flatMap(([field, values]) => [...values, null].map((value) => ({ ...empty, [field]: value })))
      .map((values, index) => line(index + 1, 2, values));
    expect(await load(lines, { id: 'kinds' })).toEqual({ result: loadResult({ loaded: lines.length }), problems: [] });
    expect(await ways()).toEqual(['copy']);
    const all = () => sql<{ row: string }>('select t::text as row from kinds_ref t order by id');
    const copied = await all();
    await sql('truncate kinds_ref');
    await cqrs.replicaRuntime.handle(lines.map((text) => received('kinds', text)));
    expect(copied).toEqual(await all());
    expect(copied).toHaveLength(lines.length);
  });

  test('any text arrives as it is', async () => {
    const text = fc
      .string({ unit: fc.oneof(fc.constantFrom('\\', '\t', '\n', '\r', 'N', '.', 't'), fc.string({ unit: 'binary' })) })
      .filter((one) => !one.includes('\u0000') && one.isWellFormed());
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(text), { minLength: 2, maxLength: 20 }), async (texts) => {
        await sql('truncate kinds_ref');
        const lines = texts.map((one, index) => line(index + 1, 0, { text: one }));
        expect((await load(lines, { id: 'kinds' })).problems).toEqual([]);
        const stored = await sql<{ text: string | null }>('select text from kinds_ref order by id');
        expect(stored.map((row) => row.text)).toEqual(texts);
      }),
      { numRuns: 50 },
    );
    expect(new Set(await ways())).toEqual(new Set(['copy']));
  });

  test('rows of a class that shares its table keep its mark', async () => {
    await load(
      [1, 2].map((id) => line(id, 0, { name: 'Tom' })),
      { id: 'cat' },
    );
    expect(await ways()).toEqual(['copy']);
    expect(await sql('select kind, name from animal_ref')).toEqual(
      [1, 2].map(() => ({ kind: `cat\t'\\`, name: 'Tom' })),
    );
  });

  test('a column that the file leaves out gets its default', async () => {
    await sql(`alter table note_ref alter column text set default 'default'`);
    await load([1, 2].map((id) => line(id, 0, { text: undefined as never })));
    await sql('alter table note_ref alter column text drop default');
    expect(await ways()).toEqual(['copy']);
    expect((await notes()).map(({ text }) => text)).toEqual(['default', 'default']);
  });
});

describe('what is known goes the usual ways', () => {
  test('a file that goes on where another load was stopped, older and newer rows among them', async () => {
    await load([line(1, 5), line(2, 1), line(3, 0)]);
    const { result } = await load([line(1, 3), line(2, 3), ...many(10).slice(2)]);
    expect(result).toEqual(loadResult({ loaded: 8, kept: 2 }));
    expect(await notes()).toEqual([
      { id: 1, text: 'n5', r: 5 },
      { id: 2, text: 'n3', r: 3 },
      ...Array.from({ length: 8 }, (_, index) => ({ id: index + 3, text: 'n0', r: 0 })),
    ]);
    expect(await ways()).toEqual(['copy', 'copy', 'upsert']);
  });

  test('the same file once more changes nothing', async () => {
    await load(many(20));
    const versions = () => sql('select xmin::text, ctid::text from note_ref order by id');
    const before = await versions();
    for (let round = 0; round < 2; round++) {
      expect((await load(many(20), { batchSize: 5 })).result).toEqual(loadResult({ kept: 20 }));
    }
    expect(await versions()).toEqual(before);
  });

  test('rows that are there in the middle of a file that was new so far', async () => {
    const there = [received('note', line(9, 5)), received('note', line(14, 0)), received('note', line(22, 0))];
    await cqrs.replicaRuntime.handle(there);
    const { result, problems } = await load([...many(25).slice(0, 24), line(25, 3)], { batchSize: 5 });
    expect(problems).toEqual([]);
    expect(result).toEqual(loadResult({ loaded: 22, kept: 3 }));
    expect((await notes()).map(({ r }) => r)).toEqual(many(25).map((_, at) => (at === 8 ? 5 : at === 24 ? 3 : 0)));
    expect((await ways()).filter((way) => way === 'copy')).toHaveLength(5);
  });

  test('rows that were deleted since do not come back', async () => {
    const gone = [3, 7].map((id) => received('note', line(id, 4), 'DELETE'));
    await cqrs.replicaRuntime.handle(gone);
    for (const options of [{ batchSize: 2 }, { clear: true }]) {
      await sql('truncate note_ref');
      const { result } = await load([...many(10), line(7, 2)], options);
      expect(result).toEqual(loadResult({ loaded: 8, kept: 3 }));
      expect((await notes()).map(({ id }) => id)).toEqual([1, 2, 4, 5, 6, 8, 9, 10]);
    }
    // a later incarnation may
    await load([line(3, 0, { cqrs_incarnation: 2 }), line(11)]);
    expect((await notes()).map(({ id }) => id)).toContain(3);
  });

  test('of several lines of one key the newest stays', async () => {
    const { result } = await load([...many(5), line(2, 3), line(2, 1), line(4, 2)]);
    expect(result).toMatchObject({ failed: 0 });
    expect((await notes()).map(({ r }) => r)).toEqual([0, 3, 0, 2, 0]);
  });
});

describe('where COPY fails', () => {
  test('a bad value in a large file is told with its line and costs no other', async () => {
    const lines = many(12_000);
    const bad = [700, 2_500, 2_501, 4_999, 9_000, 11_999];
    for (const at of bad) lines[at] = line(at + 1, 0, { text: 'x'.repeat(21) });
    const { result, problems } = await load(lines);
    expect(problems.map((problem) => parseInt(problem)).toSorted((a, b) => a - b)).toEqual(bad.map((at) => at + 2));
    for (const problem of problems) expect(problem).toMatch(/^\d+: MappingError: .*SQLSTATE 22001/);
    expect(problems.join()).not.toContain('xxx');
    expect(result).toEqual(loadResult({ loaded: 12_000 - bad.length, failed: bad.length }));
    const wanted = lines.flatMap((_, at) => (bad.includes(at) ? [] : [at + 1]));
    expect((await notes()).map(({ id }) => id)).toEqual(wanted);
    expect(await ways()).toContain('copy');
  }, 60_000);

  test('a row that a worker writes at the same moment: the newer one stays, and the others are loaded', async () => {
    for (const [theirs, left] of [
      [5, 5],
      [1, 3],
    ] as const) {
      await sql('truncate note_ref, ways');
      const em = orm.em.fork();
      await em.begin();
      await cqrs.replicaRuntime.handle([received('note', line(2, theirs))], { within: em });
      const loading = load([1, 2, 3, 4].map((id) => line(id, 3)));
      try {
        await untilCopyWaits();
      } finally {
        await em.commit(); // or it would be in the way of the tests after it
      }
      const { result, problems } = await loading;
      expect(problems).toEqual([]);
      expect(result).toEqual(theirs > 3 ? loadResult({ loaded: 3, kept: 1 }) : loadResult({ loaded: 4 }));
      expect((await notes()).map(({ r }) => r)).toEqual([3, left, 3, 3]);
      expect(await ways()).toContain('copy');
    }
  });

  test('a full disk ends the load, and is told without the row', async () => {
    await sql(`create function full_disk() returns trigger language plpgsql as
      $$ begin if new.id = 2 then raise exception 'x' using errcode = '53100'; end if; return new; end $$`);
    await sql('create trigger full_disk before insert on note_ref for each row execute function full_disk()');
    const error = await load([1, 2, 3].map((id) => line(id, 0, { text: 'SECRET' }))).catch((thrown: unknown) => thrown);
    await sql('drop trigger full_disk on note_ref');
    expect(error).toMatchObject({ code: '53100' });
    expect(inspect(error)).not.toContain('SECRET');
  });

  test('beside workers that write and delete the same keys each key ends at its newest state', async () => {
    const keys = Array.from({ length: 200 }, (_, index) => index + 1);
    for (let round = 0; round < 5; round++) {
      await sql('truncate note_ref, cqrs_tombstones');
      const work = async (revision: number, signal: (id: number) => 'SAVE' | 'DELETE'): Promise<void> => {
        for (let at = 0; at < keys.length; at += 10) {
          const batch = keys
            .slice(at, at + 10)
            .filter((id) => id % 3 === revision % 3)
            .map((id) => received('note', line(id, revision), signal(id)));
          await untilApplied(batch);
        }
      };
      const [{ result, problems }] = await Promise.all([
        load(
          keys.map((id) => line(id, 5)),
          { batchSize: 50 },
        ),
        work(4, () => 'SAVE'),
        work(6, () => 'SAVE'),
        work(8, () => 'DELETE'),
      ]);
      expect(problems).toEqual([]);
      expect(result.loaded + result.kept).toBe(200);
      const expected = keys.flatMap((id) => (id % 3 === 2 ? [] : [[id, id % 3 === 0 ? 6 : 5]]));
      expect((await notes()).map(({ id, r }) => [id, r])).toEqual(expected);
    }
  }, 60_000);

  test('a trigger that keeps a row back keeps it back, and no other', async () => {
    await sql(`create function keep_back() returns trigger language plpgsql as
        $$ begin return case when new.id = 2 then null else new end; end $$;
      create trigger keep_back before insert on note_ref for each row execute function keep_back()`);
    const { result } = await load(many(4));
    await sql('drop trigger keep_back on note_ref; drop function keep_back');
    expect((await notes()).map(({ id }) => id)).toEqual([1, 3, 4]);
    expect(result.failed).toBe(0);
  });

  test('a table that takes a key twice gets nothing by it', async () => {
    await sql(
      'alter table note_ref drop constraint note_ref_pkey; create unique index partly on note_ref (id) where id > 5',
    );
    const { result, problems } = await load(many(3));
    await sql('drop index partly; alter table note_ref add primary key (id)');
    expect(result).toEqual(loadResult({ failed: 3 }));
    expect(problems[0]).toContain('SQLSTATE 42P10');
    expect(await ways()).toEqual([]);
  });

  test('a table whose columns are of other types than declared is filled without it', async () => {
    await sql('alter table note_ref alter column text type text');
    expect((await load(many(3))).result).toEqual(loadResult({ loaded: 3 }));
    await sql('alter table note_ref alter column text type varchar(20)');
    expect(await ways()).toEqual(['upsert']);
  });
});

/** For the other transaction, which has written the same key. */
async function untilCopyWaits(): Promise<void> {
  const text = `select 1 from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '%copy %'`;
  const end = Date.now() + 10_000;
  while ((await sql(text)).length === 0) expect(Date.now()).toBeLessThan(end);
}

/** As the consumer does: a deadlock is nobody's fault. */
async function untilApplied(batch: readonly Received[]): Promise<void> {
  for (;;) {
    try {
      await cqrs.replicaRuntime.handle(batch);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '40P01') throw error;
    }
  }
}
