import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { loadRows } from '../../src/operations/load.js';
import { interop } from './support/python.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { pika } from './support/transports.js';

interop('a Django master with USE_TZ=False', () => {
  let world: PythonToUs;
  afterEach(async () => world[Symbol.asyncDispose]());

  const ZONES = ['Europe/Madrid', 'America/New_York', 'Asia/Kolkata'];
  test.each(ZONES)('in %s: lives of a key and times are the same, with replica.senderTimezone', async (timeZone) => {
    world = await pythonToUs(pika, { timeZone, replica: { senderTimezone: timeZone } });
    const { python, databases, heard } = world;
    const at = '2024-07-02 03:04:05.123456';
    await python.create('sample', { id: 1, title: 'first life', at });
    for (const title of ['a', 'b', 'c']) await python.change('sample', 1, { title });
    await python.delete('sample', 1);
    await databases.replicaHas('select id from sample', []);
    await databases.replica('select pg_sleep(1.1)'); // longer than the tolerance, as a key is used again in practice
    await python.create('sample', { id: 1, title: 'second life', at: '2024-01-02 03:04:05' });
    await python.create('sample', { id: 2, title: 'other', at });
    const rows = await databases.same('sample');
    expect(rows).toMatchObject([{ id: '1', title: 'second life' }, { id: '2' }]);
    expect(heard.filter(({ name }) => /clock-distrusted|dead-lettered|warned/.test(name))).toEqual([]);
  });

  test('without the setting the first message is told of', async () => {
    world = await pythonToUs(pika, { timeZone: 'Europe/Madrid' });
    const { python, databases, heard } = world;
    await python.create('sample', { id: 1, title: 'one' });
    await python.create('sample', { id: 2, title: 'two' });
    await databases.replicaHas('select id from sample order by id', [{ id: '1' }, { id: '2' }]);
    const warned = heard.filter(
      ({ name, fields }) => name === 'cqrs.replica.warned' && JSON.stringify(fields).includes('senderTimezone'),
    );
    expect(warned).toMatchObject([{ fields: { where: 'SampleRef', cure: expect.stringContaining('TIME_ZONE') } }]);
  });

  test('so are times of a dump', async () => {
    world = await pythonToUs(pika, { timeZone: 'Europe/Madrid', replica: { senderTimezone: 'Europe/Madrid' } });
    const { python, databases, ours } = world;
    await python.createSilently(
      'sample',
      [1, 2, 3].map((id) => ({ id, title: 'x', at: `2024-07-0${id} 03:04:05` })),
    );
    const folder = await mkdtemp(join(tmpdir(), 'cqrs-naive-'));
    try {
      await python.command('cqrs_bulk_dump', '--cqrs-id', 'sample', '--output', `${folder}/dump`);
      const result = await loadRows(ours.cqrs, createReadStream(`${folder}/dump`));
      expect(result).toMatchObject({ loaded: 3, failed: 0 });
    } finally {
      await rm(folder, { recursive: true });
    }
    await databases.same('sample');
  });
});
