import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { eventually } from './support/eventually.js';
import { interop } from './support/python.js';
import { PythonMaster } from './support/python-master.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { pika } from './support/transports.js';

/**
 * Two processes of a Python master write one row. `cqrs_updated` is when Python called `save`, not when the row was
 * written, and the revision is read after COMMIT.
 */
interop('Python masters that wait for each other', () => {
  let world: PythonToUs;
  /** The other process. */
  let other: PythonMaster;
  /** Holds an advisory lock for whoever is to wait. */
  let gate: pg.Client;
  let key = 0;

  beforeAll(async () => {
    world = await pythonToUs(pika);
    await world.python.create('stock', { id: 0, name: 'the tables are there' });
    await world.databases.same('stock');
    other = new PythonMaster({
      transport: pika.python,
      databaseUrl: world.masterUrl,
      exchange: world.exchange,
      keepTables: true,
    });
    gate = new pg.Client({ connectionString: world.masterUrl });
    await gate.connect();
  });
  afterAll(async () => {
    await gate.end();
    await other[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  const create = async (): Promise<void> => {
    key++;
    await world.python.create('stock', { id: key, name: 'start' });
    await world.databases.replicaHas(`select name from stock where id = ${key}`, [{ name: 'start' }]);
  };
  const close = () => gate.query('select pg_advisory_lock(1)');
  const open = () => gate.query('select pg_advisory_unlock(1)');
  const row = `id, name, cqrs_revision, cqrs_updated from stock where id =`;
  const same = () => world.databases.sameRows(`select ${row} ${key}`);
  const doubted = () =>
    world.heard.filter(
      ({ name, fields }) => name === 'cqrs.replica.order-doubted' && Reflect.get(fields, 'instancePk') === String(key),
    );
  /** Resolves when a process of the master waits for a lock of this kind. */
  const waiting = (event: 'advisory' | 'transactionid'): Promise<unknown> =>
    eventually(
      () =>
        gate.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and wait_event = $1`,
          [event],
        ),
      ({ rowCount }) => rowCount === 1,
    );
  /** The other process calls `save` while this one holds the row, which saves more than a second later. */
  const overtake = async (): Promise<{ commitLate: () => Promise<void> }> => {
    await world.python.do({ do: 'begin' });
    await world.python.do({ do: 'lock', model: 'stock', key });
    await other.do({ do: 'begin' });
    const late = other.change('stock', key, { name: 'second' });
    await waiting('transactionid');
    await gate.query('select pg_sleep(1.2)'); // beyond what clocks may differ by
    // Its COMMIT comes when the test says so: what this process reads after its own is no accident then.
    return {
      commitLate: async () => {
        await late;
        await other.do({ do: 'commit' });
      },
    };
  };

  test('a wait for a row lock of more than a second: the later revision has the earlier time', async () => {
    await create();
    const { commitLate } = await overtake();
    await world.python.change('stock', key, { name: 'first' });
    await world.python.do({ do: 'commit' });
    await commitLate();
    expect(await same()).toMatchObject([{ name: 'second', cqrs_revision: '2' }]);
    await world.python.change('stock', key, { name: 'third' });
    expect(await same()).toMatchObject([{ name: 'third', cqrs_revision: '3' }]);
    expect(doubted()).toEqual([]);
  });

  test('the same, and the row is deleted and made again', async () => {
    await create();
    const { commitLate } = await overtake();
    await world.python.change('stock', key, { name: 'first' });
    await world.python.do({ do: 'commit' });
    await commitLate();
    await other.delete('stock', key);
    expect(await same()).toEqual([]);
    await gate.query('select pg_sleep(1.2)');
    await world.python.create('stock', { id: key, name: 'made again' });
    expect(await same()).toMatchObject([{ name: 'made again', cqrs_revision: '0' }]);
    await other.change('stock', key, { name: 'changed again' });
    expect(await same()).toMatchObject([{ name: 'changed again', cqrs_revision: '1' }]);
  });

  test('publishers race: the later revision arrives first', async () => {
    await create();
    await close();
    await world.python.do({ do: 'wait_before_publishing', lock: 1 });
    const first = world.python.change('stock', key, { name: 'first' });
    await waiting('advisory');
    await other.change('stock', key, { name: 'second' });
    await same();
    await open();
    await first;
    await world.python.create('stock', { id: 1_000 + key, name: 'behind it' });
    await world.databases.replicaHas(`select name from stock where id = ${1_000 + key}`, [{ name: 'behind it' }]);
    expect(await same()).toMatchObject([{ name: 'second', cqrs_revision: '2' }]);
  });

  test('a tie: another COMMIT before the revision is read; the later time is the later state', async () => {
    await create();
    await close();
    await world.python.do({ do: 'begin' });
    await world.python.do({ do: 'wait_after_commit', lock: 1 });
    await world.python.change('stock', key, { name: 'first' });
    const first = world.python.do({ do: 'commit' });
    await waiting('advisory');
    await other.change('stock', key, { name: 'second' });
    await same();
    await open();
    await first;
    await eventually(doubted, (events) => events.length > 0);
    expect(doubted()).toMatchObject([{ fields: { reason: 'tie', revision: 2 } }]);
    expect(await same()).toMatchObject([{ name: 'second', cqrs_revision: '2' }]);
  });

  test('a tie after a lock wait cannot be decided: it is told, and a SYNC puts it right', async () => {
    await create();
    const { commitLate } = await overtake();
    await close();
    await world.python.do({ do: 'wait_after_commit', lock: 1 });
    await world.python.change('stock', key, { name: 'first' });
    const first = world.python.do({ do: 'commit' });
    await waiting('advisory');
    await commitLate();
    await open();
    await first;
    await eventually(doubted, (events) => events.length > 0);
    expect(doubted()).toMatchObject([{ fields: { reason: 'tie', revision: 2 } }]);
    expect(await world.databases.master(`select ${row} ${key}`)).toMatchObject([{ name: 'second' }]);
    await world.python.do({ do: 'sync', model: 'stock', key });
    await world.databases.sameRows(`select id, name, cqrs_revision from stock where id = ${key}`);
  });
});
