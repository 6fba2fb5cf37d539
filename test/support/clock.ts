/**
 * A database whose clock can be set: a schema before `pg_catalog` in the search path has functions of the same names.
 * To run before the tables are made; the settings of the database are those of connections that begin later.
 */
export const SETTABLE_CLOCK: readonly string[] = [
  'create schema fake',
  'create table fake.clock (ahead interval not null)',
  `insert into fake.clock values ('0')`,
  ...['clock_timestamp', 'now'].map(
    (name) =>
      `create function fake.${name}() returns timestamptz language sql volatile as 'select pg_catalog.${name}() + ahead from fake.clock'`,
  ),
  `do $$ begin execute format('alter database %I set search_path = public, fake, pg_catalog', current_database()); end $$`,
  'set search_path = public, fake, pg_catalog',
];

/** Sets it so many seconds ahead of the true time; back where they are negative. */
export function setClock(seconds: number): string {
  return `update fake.clock set ahead = make_interval(secs => ${seconds})`;
}
