import pg from 'pg';
import { Animal, Node } from '../entities.ts';
import { operations, type Step } from './operation.ts';
import { ANIMALS, LOOSE, NODES, number, text } from './values.ts';

/**
 * Writes that do not pass through MikroORM's own statements. Those that the application announces itself are captured in
 * every mode. The others write every table where the mode sees them, and a table of their own where it does not.
 */

const LEAVES = ['c_badge', 'c_item', 'c_day', 'c_doc', 'c_animal'] as const;

/** Our columns are moved by hand, as somebody does who knows of them, so that a later message is not stale. */
const STEP =
  "cqrs_revision = t.cqrs_revision + 1, cqrs_updated = greatest(clock_timestamp(), t.cqrs_updated + interval '1 microsecond')";

/** One statement. `kind` goes into `note`, by which the oracle knows who wrote the row. */
function statement({ random, mode, note }: Step, kind: 'raw SQL' | 'psql'): string {
  const by = `'${kind === 'psql' ? 'psql' : 'raw'}:${note}'`;
  if (!mode.captures.has(kind)) {
    const [id, v] = [random.pick(LOOSE), number(random)];
    if (random.chance(0.2)) return `delete from c_loose where id = ${id} returning id`;
    return `insert into c_loose as t (id, v, note) values (${id}, ${v}, ${by}) on conflict (id) do update set v = excluded.v, note = excluded.note, ${STEP} returning id`;
  }
  const table = random.pick(LEAVES);
  const some = `hashtext(t::text || '${note}') % 4 = 0`;
  return random.chance(0.2)
    ? `delete from ${table} t where ${some} returning 1`
    : `update ${table} t set note = ${by} where ${some} returning 1`;
}

export const announcedByHand = operations('MikroORM', {
  'raw SQL, announced by callPostUpdate': async ({ em, random, note }) => {
    const work = async (inside: typeof em): Promise<void> => {
      // of a master without tracked fields: what they were before is not known
      const rows = await inside.execute<{ id: string }[]>(
        'update c_node set label = ?, note = ? where id = ? returning id',
        [text(random), note, random.pick(NODES)],
      );
      if (rows.length > 0) await Node.callPostUpdate(rows, { em: inside });
    };
    await (em.isInTransaction() ? work(em) : em.transactional((inside) => work(inside as typeof em)));
  },
  'raw SQL, announced by callPostBulkCreate': async ({ em, random, note }) => {
    const work = async (inside: typeof em): Promise<void> => {
      const id = random.pick(ANIMALS);
      const rows = await inside.execute<{ id: number }[]>(
        "insert into c_animal (id, kind, name, v, note) values (?, 'cat', ?, ?, ?) on conflict do nothing returning id",
        [id, text(random), number(random), note],
      );
      if (rows.length > 0) await Animal.callPostBulkCreate(rows, { em: inside });
    };
    await (em.isInTransaction() ? work(em) : em.transactional((inside) => work(inside as typeof em)));
  },
});

export const rawSql = operations('raw SQL', {
  'raw SQL through MikroORM': (step) => step.em.execute(statement(step, 'raw SQL')),
});

export const psql = operations('psql', {
  'another program': async (step) => {
    const client = new pg.Client({ connectionString: step.url, application_name: 'campaign another program' });
    client.on('error', () => {});
    await client.connect();
    try {
      // It does not wait for the transaction that this step stands in.
      await client.query("set lock_timeout = '100ms'");
      await client.query(statement(step, 'psql'));
    } catch (error) {
      if ((error as { code?: string }).code !== '55P03') throw error;
    } finally {
      await client.end();
    }
  },
});
