import { spawn } from 'node:child_process';
import { text as readText } from 'node:stream/consumers';
import type pg from 'pg';
import { operations } from './operation.ts';
import { ANIMALS, CODES, DAYS, NODES, number, PEOPLE, text } from './values.ts';

/** Writes of which an ORM sees nothing, for modes of capture that see them all the same. */

/**
 * What the database does by itself: foreign keys with actions, and a trigger that writes one master when another is written.
 * Only where such writes are captured: elsewhere every table has `noAction`.
 */
export async function letDatabaseWrite(client: pg.Client): Promise<void> {
  for (const [table, column, action] of [
    ['c_badge', 'person_id', 'on delete cascade'],
    ['c_node', 'parent_id', 'on delete cascade'],
    ['c_node', 'twin_id', 'on delete set null'],
    ['c_item', 'org_code', 'on update cascade on delete cascade'],
    ['c_person', 'org_code', 'on update cascade on delete set null'],
    ['c_org', 'head_id', 'on delete set null'],
  ] as const) {
    const { rows } = await client.query<{ name: string; definition: string }>(
      `select c.conname as name, pg_get_constraintdef(c.oid) as definition
         from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.contype = 'f' and c.conrelid = $1::regclass and a.attname = $2`,
      [table, column],
    );
    const { name, definition } = rows[0]!;
    await client.query(
      `alter table ${table} drop constraint "${name}", add constraint "${name}" ${definition} ${action}`,
    );
  }
  await client.query(`
    create function c_doc_is_written() returns trigger language plpgsql as $$
    begin
      update c_animal set v = v + 1, note = 'trigger' where id = 1 + coalesce(new.id, old.id) % 3;
      return null;
    end $$;
    create trigger c_doc_is_written after insert or update or delete on c_doc
      for each row when (pg_trigger_depth() = 0) execute function c_doc_is_written()`);
}

interface Written {
  c_animal: { id: number; kind: string; name: string; v: number; note: string };
  c_day: { day: string; load: number; open: boolean; note: string };
}

export const kysely = operations('Kysely', {
  'Kysely: update': ({ em, random, note }) =>
    em
      .getKysely<Written>()
      .updateTable('c_animal')
      .set({ name: text(random), note })
      .where('id', 'in', [random.pick(ANIMALS), random.pick(ANIMALS)])
      .execute(),
  'Kysely: upsert': ({ em, random, note }) =>
    em
      .getKysely<Written>()
      .insertInto('c_day')
      .values({ day: random.pick(DAYS), load: number(random), open: random.chance(0.8), note })
      .onConflict((on) => on.column('day').doUpdateSet({ load: number(random), note }))
      .execute(),
  'Kysely: delete': ({ em, random }) =>
    em.getKysely<Written>().deleteFrom('c_animal').where('id', '=', random.pick(ANIMALS)).execute(),
});

export const cascades = operations('cascade', {
  'a person, and badges by cascade': ({ em, random }) =>
    em.execute('delete from c_person where id = ?', [random.pick(PEOPLE)]),
  'a node, and its children by cascade': ({ em, random }) =>
    em.execute('delete from c_node where id = ?', [random.pick(NODES)]),
  'an org, and items by cascade': ({ em, random }) =>
    em.execute('delete from c_org where code = ?', [random.pick(CODES)]),
  'the key of an org, and with it those of items': ({ em, random, note }) =>
    em.execute('update c_org set code = ?, note = ? where code = ?', [random.pick(CODES), note, random.pick(CODES)]),
});

/** It does not wait for the transaction that the step stands in. */
const IMPATIENT = "set lock_timeout = '100ms';";
const ORDINARY = /ERROR: {2}(55P03|23505|23503|40P01|57P01)/;

async function psql(url: string, script: string): Promise<void> {
  const child = spawn('psql', [url, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=sqlstate'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, PGAPPNAME: 'campaign psql' },
  });
  const ended = Promise.withResolvers<number | null>();
  child.on('error', ended.reject);
  child.on('close', ended.resolve);
  child.stdin.on('error', () => {}); // it has ended before it read all
  child.stdin.end(`${IMPATIENT}\n${script}`);
  const [code, said] = await Promise.all([ended.promise, readText(child.stderr)]);
  if (code !== 0 && !ORDINARY.test(said)) throw new Error(`psql: ${said.slice(0, 300)}`);
}

/** A field as COPY reads it. */
const field = (value: string | number): string =>
  String(value).replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n');

export const copies = operations('psql', {
  'psql: COPY, over rows that it has deleted': ({ url, random, note }) => {
    const ids = [...new Set([random.pick(ANIMALS), random.pick(ANIMALS)])];
    const lines = ids.map((id) => [
      id,
      random.pick(['animal', 'cat', 'dog']),
      text(random),
      number(random),
      `psql:${note}`,
    ]);
    return psql(
      url,
      `begin; delete from c_animal where id in (${ids.join(', ')});
copy c_animal (id, kind, name, v, note) from stdin;
${lines.map((line) => line.map(field).join('\t')).join('\n')}
\\.
commit;
`,
    );
  },
  'psql: COPY of new rows': ({ url, random, note }) =>
    psql(url, `copy c_day (day, load, open, note) from stdin;\n${random.pick(DAYS)}\t1\tt\tpsql:${note}\n\\.\n`),
});
