import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deleteTopology, uniqueName } from '../support/broker.js';
import { serviceWith } from './service/service.js';
import type { ScaleOptions } from './scale-options.js';
import { WatchedCommand } from './watched-command.js';

const FAULTS = 6;

/** `cqrs diff-master --checksums | cqrs diff-replica`: six faults are found, and nothing else; the memory of both stays flat. */
export async function runDiff({ rows, table, say }: ScaleOptions): Promise<boolean> {
  const exchange = uniqueName('scale');
  const queue = `${exchange}_replica`;
  await using topology = new AsyncDisposableStack();
  topology.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  await using master = await serviceWith(rows, { exchange, table });
  await using replica = await serviceWith(rows, { exchange, queue, table });
  const missing = [1, Math.floor(rows / 2), rows];
  const [stale, damaged] = [[2, rows - 1], [Math.floor(rows / 3)]];
  await replica.sql(`delete from ${table} where number in (${missing.join()})`);
  await replica.sql(`update ${table} set cqrs_revision = cqrs_revision + 1 where number in (${stale.join()})`);
  await replica.sql(`update ${table} set balance = balance + 0.01 where number in (${damaged.join()})`);
  const key = table === 'payment' ? 'json_build_array(region, number)' : 'to_json(id)';
  const expected = await master.sql(
    `select (${key})::text as key from ${table} where number in (${[...missing, ...stale, ...damaged].join()})`,
  );
  const pipe = openPipe();
  await using from = new WatchedCommand(['diff-master', '-c', table, '--checksums', '--progress', '--json'], {
    rows,
    env: master.env,
    stdout: pipe.write,
  });
  await using to = new WatchedCommand(['diff-replica', '--progress', '--json'], {
    rows,
    env: replica.env,
    stdin: pipe.read,
  });
  pipe.close();
  await from.ended;
  const { out, err } = await to.ended;
  const found = out
    .trim()
    .split('\n')
    .slice(1)
    .flatMap((line) => JSON.parse(line) as unknown[]);
  const result = JSON.parse(err.trim().split('\n').at(-1)!) as { compared: number };
  say(`${rows} rows: ${result.compared} compared, ${found.length} differ`);
  const flat = [from.tell(say), to.tell(say)].every(Boolean);
  const texts = (keys: readonly unknown[]): string => JSON.stringify(keys.map((one) => JSON.stringify(one)).toSorted());
  const isExact = texts(found) === texts(expected.map((row) => JSON.parse(row['key']!)));
  return flat && result.compared === rows && found.length === FAULTS && isExact;
}

/** A pipe between two processes, as a shell makes it. */
function openPipe(): { read: number; write: number; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'cqrs-scale-'));
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, 'r+'); // neither end waits for the other to be opened
  const [read, write] = [openSync(path, 'r'), openSync(path, 'w')];
  rmSync(folder, { recursive: true });
  return { read, write, close: () => [both, read, write].forEach((end) => closeSync(end)) };
}
