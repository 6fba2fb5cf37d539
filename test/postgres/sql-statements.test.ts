import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { SqlControl } from '../../src/postgres/sql-control.js';
import { sqlStatements } from '../../src/postgres/sql-statements.js';
import { SqlTokens } from '../../src/postgres/sql-tokens.js';

/** Each write as `verb schema.table`. */
function writes(text: string): string[] {
  return [...sqlStatements(text)].flatMap((statement) =>
    statement.writes.map(({ verb, schema, table }) => `${verb} ${schema === undefined ? '' : `${schema}.`}${table}`),
  );
}

const statementTexts = (text: string): string[] =>
  [...sqlStatements(text)].map(({ start, end }) => text.slice(start, end));

describe('tables that a text writes', () => {
  test.each<[sql: string, ...expected: string[]]>([
    [`update account set v = 1`, 'update account'],
    [`UPDATE Account SET v = 1`, 'update account'],
    [`update "Account" set v = 1`, 'update Account'],
    [`update /* a /* nested */ comment */ account -- and another\n set v = 1`, 'update account'],
    [`update public . account set v = 1`, 'update public.account'],
    [`update "public"."account" set v = 1`, 'update public.account'],
    [`update"public" . "a ""b"" c"set v = 1`, 'update public.a "b" c'],
    [`update only public.account * as a set v = 1`, 'update public.account'],
    [`update only (account) set v = 1`, 'update account'],
    [`update U&"\\0061cc!0075nt" set v = 1`, 'update acc!0075nt'],
    [`update u&"!0061cco!+000075nt!!" uescape '!' set v = 1`, 'update account!'],
    [`update account.update set v = 1`, 'update account.update'],
    [`update db.public.account set v = 1`, 'update public.account'],
    [`update ${'x'.repeat(70)} set v = 1`, `update ${'x'.repeat(63)}`],
    [`update ${'ä'.repeat(40)} set v = 1`, `update ${'ä'.repeat(31)}`],
    [`insert into account (id, "update") values (1, 'delete from other')`, 'insert account'],
    [`insert into account values (1) on conflict (id) do update set v = 1`, 'insert account'],
    [
      `insert into account with gone as (delete from other returning *) select * from gone`,
      'insert account',
      'delete other',
    ],
    [`delete from account where id in (select id from other for update of other)`, 'delete account'],
    [`delete from only account using other`, 'delete account'],
    [
      `merge into only account a using other on true when matched then update set v = 1 when not matched then insert default values`,
      'merge account',
    ],
    [`truncate account`, 'truncate account'],
    [
      `truncate table only account, public.other * , "Third" restart identity cascade`,
      'truncate account',
      'truncate public.other',
      'truncate Third',
    ],
    [`copy account from stdin`, 'copy account'],
    [`copy public.account (id, v) from stdin with (format csv)`, 'copy public.account'],
    [`copy account to stdout`],
    [`copy (select * from account) to stdout`],
    [`copy (delete from account returning *) to stdout`, 'delete account'],
    [`with gone as (delete from account returning *) select * from gone`, 'delete account'],
    [
      `with a(x, y) as not materialized (update account set v = 1 returning 1, 2), b as (select 1) insert into other select * from a`,
      'update account',
      'insert other',
    ],
    [
      `with recursive t(n) as (values (1) union all select n + 1 from t) update account set v = n from t`,
      'update account',
    ],
    [`with recursive t(n) as (values (1)) search depth first by n set o update account set v = 1`, 'update account'],
    [`with recursive t(n) as (values (1)) cycle n set c using p delete from account`, 'delete account'],
    [`with n as (select 1) select * from account for update`],
    [`select * from account for no key update`],
    [`select 'update account set v = 1'`],
    [`select e'it\\'s; update account set v = 1'`],
    [`select e'a'\n  -- goes on\n  'b\\'; update account set v = 1; --'`],
    [`select 'a\\'; update account set v = 1; --'`, 'update account'],
    [`select $$ update account set v = 1 $$, $a$ $$; delete from account; $a$`],
    [`select a$b$ from t; update account set b$ = 1`, 'update account'],
    [`select $1; update account set v = $2`, 'update account'],
    [`select 1; /* update other */ update account set v = 1`, 'update account'],
    [`select "update account set v = 1; "`],
    [`select count(*) delete from account`],
    [`select update from account`],
    [`explain update account set v = 1`],
    [`explain analyze update account set v = 1`, 'update account'],
    [`explain (analyze, verbose) update account set v = 1`, 'update account'],
    [`explain (analyze false) update account set v = 1`],
    [`prepare p (int, numeric(3, 2)) as update account set v = $1`, 'update account'],
    [`create table archive as with gone as (delete from account returning *) select * from gone`, 'delete account'],
    [`create rule r as on delete to t do instead (update account set v = 1; delete from other)`],
    [
      `create function f() returns int language sql begin atomic with g as (delete from account returning 1) select 1; select case when true then 1 end; end; update account set v = 2`,
      'update account',
    ],
    [`create trigger t before update of v on account for each row execute function f()`],
    [`create table t (id int references account on update cascade on delete cascade)`],
    [`create policy p on account for update using (true)`],
    [`grant update, delete on account to public`],
    [`alter table account add column v text`],
    [
      `do $$ begin if true then update account set v = 1; end if; perform 1 from other for update; end $$`,
      'update account',
    ],
    [`do language plpgsql 'begin delete from account; end'`, 'delete account'],
    [`update`],
    [`delete from`],
    [`update "never closed`, 'update never close'],
    [``],
  ])('%s', (sql, ...expected) => {
    expect(writes(sql)).toEqual(expected);
  });
});

describe('what a statement does to its transaction or session', () => {
  test.each<[sql: string, expected: SqlControl | undefined]>([
    ['begin', { kind: 'begin' }],
    ['BEGIN WORK ISOLATION LEVEL SERIALIZABLE', { kind: 'begin' }],
    ['start transaction read only', { kind: 'begin' }],
    ['commit', { kind: 'commit', chain: false }],
    ['/* x */ Commit Work', { kind: 'commit', chain: false }],
    ['end transaction and chain', { kind: 'commit', chain: true }],
    ['commit and no chain', { kind: 'commit', chain: false }],
    [`commit prepared 'a'`, { kind: 'commit prepared' }],
    ['rollback', { kind: 'rollback', chain: false }],
    ['abort work and chain', { kind: 'rollback', chain: true }],
    [`rollback prepared 'a'`, { kind: 'rollback prepared' }],
    ['rollback to a', { kind: 'rollback to', savepoint: 'a' }],
    ['ROLLBACK TRANSACTION TO SAVEPOINT "A b"', { kind: 'rollback to', savepoint: 'A b' }],
    ['rollback to savepoint', { kind: 'rollback to', savepoint: 'savepoint' }],
    ['savepoint A', { kind: 'savepoint', savepoint: 'a' }],
    ['savepoint savepoint', { kind: 'savepoint', savepoint: 'savepoint' }],
    ['release savepoint a', { kind: 'release', savepoint: 'a' }],
    ['release A', { kind: 'release', savepoint: 'a' }],
    [`prepare transaction 'a'`, { kind: 'prepare transaction' }],
    ['prepare p as select 1', undefined],
    ['set datestyle to german, dmy', { kind: 'set', local: false, name: 'datestyle', value: 'german , dmy' }],
    [`set local "TimeZone" = 'UTC'`, { kind: 'set', local: true, name: 'timezone', value: `'UTC'` }],
    [`set session time zone 'UTC'`, { kind: 'set', local: false, name: 'timezone', value: `'UTC'` }],
    ['set local a.b = 1', { kind: 'set', local: true, name: 'a.b', value: '1' }],
    ['reset all', { kind: 'reset', name: 'all' }],
    ['discard all', { kind: 'reset', name: 'all' }],
    ['select 1', undefined],
    ['', undefined],
  ])('%s', (sql, expected) => {
    expect([...sqlStatements(sql)][0]?.control).toEqual(expected);
  });
});

test('a text is split where PostgreSQL splits it', () => {
  expect(statementTexts(` ; begin; -- a; b\n select ';' ;; select $a$;$a$ /* ; */ ; commit -- end`)).toEqual([
    'begin',
    `select ';'`,
    'select $a$;$a$',
    'commit',
  ]);
  expect([...sqlStatements('Create  Temporary /* */ table "x" (a int)')][0]!.words).toEqual([
    'create',
    'temporary',
    'table',
  ]);
});

/** Pieces of SQL that can stand beside each other in any order, and how many semicolons of them end a statement. */
const harmless = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => `'${text.replaceAll("'", "''")}'`),
  fc.string({ unit: 'binary' }).map((text) => `e'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`),
  fc.string({ unit: 'binary' }).map((text) => `"${text.replaceAll('"', '""')}"`),
  fc.string({ unit: 'binary' }).map((text) => `u&"${text.replaceAll('"', '""')}"`),
  fc
    .string({ unit: 'binary' })
    .filter((text) => !`${text}$`.includes('$q$'))
    .map((text) => `$q$${text}$q$`),
  fc.string({ unit: 'binary' }).map((text) => `/* ${text.replaceAll('*', '').replaceAll('/', '')} /* ; */ */`),
  fc.string({ unit: 'binary' }).map((text) => `-- ${text.replaceAll(/[\n\r]/g, '')}\n`),
  fc.constantFrom('1', '1.5e3', '$1', '::', '(', ')', ',', 'x', 'for update of account', "b'1'"),
);

test('nothing in strings, comments and names ends a statement or writes, and what follows is seen', () => {
  fc.assert(
    fc.property(fc.array(harmless), (pieces) => {
      const before = pieces.join(' ').replaceAll(/[()]/g, ' ');
      const [, ...rest] = [...sqlStatements(`select ${before} ; update account set v = ${before}`)];
      expect(rest).toHaveLength(1);
      expect(rest[0]!.writes).toEqual([{ verb: 'update', table: 'account' }]);
    }),
    { numRuns: 500 },
  );
});

test('any text is read to its end, and tokens never overlap', () => {
  const alphabet = `'"$\\-/*;.,()aeuU&_ \n0?`.split('');
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...alphabet, 'ä', 'update ', 'uescape') }), (text) => {
      let end = 0;
      for (const tokens = new SqlTokens(text); tokens.kind !== 'end'; tokens.next()) {
        expect(tokens.start).toBeGreaterThanOrEqual(end);
        expect(tokens.end).toBeGreaterThan(tokens.start);
        expect(tokens.end).toBeLessThanOrEqual(text.length);
        end = tokens.end;
      }
      for (const { start, end: stop } of sqlStatements(text)) expect(stop).toBeGreaterThanOrEqual(start);
    }),
    { numRuns: 2_000 },
  );
});

/** Time for the text, at least as long as can be measured. */
function milliseconds(text: string): number {
  const begin = performance.now();
  for (const _ of sqlStatements(text));
  return Math.max(performance.now() - begin, 1);
}

test.each<[what: string, unit: string]>([
  ['rows', `(1, 'value'), `],
  ['quotes', `'`],
  ['double quotes', `"`],
  ['dollars', '$'],
  ['dollar tags', '$a'],
  ['open comments', '/*'],
  ['closed comments', '/**/'],
  ['lines of comments', '--\n'],
  ['strings over lines', `'a'\n`],
  ['blank lines behind a string', `'a' \n \n x `],
  ['backslashes', `e'\\`],
  ['parentheses', '('],
  ['closing parentheses', ')'],
  ['with', 'with '],
  ['words', 'a'],
  ['digits', '1'],
  ['dots', 'a.'],
  ['semicolons', ';'],
  ['savepoints', 'savepoint a;'],
  ['updates', 'update '],
  ['truncated tables', 'truncate a,'],
  ['bodies', 'do $$ update a set b = 1; $$;'],
  ['settings', 'set a = 1,'],
  ['unicode names', 'update u&"\\0061";'],
])('reading %s takes time that grows with the length alone', (_what, unit) => {
  const short = unit.repeat(30_000 / unit.length);
  milliseconds(short);
  // The square would be a hundredfold; what is left is the noise of a busy machine.
  expect(milliseconds(short.repeat(10))).toBeLessThan(40 * milliseconds(short) + 1_000);
});

test('a write behind ten megabytes of text is seen, in seconds', () => {
  const values = `(1, 'it''s', e'\\'', $$;$$, "x"), -- row\n `;
  const text = `with v as (values ${values.repeat(10_000_000 / values.length)} (2)) update account set v = 1`;
  expect(writes(text)).toEqual(['update account']);
  expect(milliseconds(text)).toBeLessThan(20_000);
});
