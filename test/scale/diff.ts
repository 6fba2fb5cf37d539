import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deleteTopology, uniqueName } from '../support/broker.js';
import { serviceWith } from './service/service.js';
import type { ScaleOptions } from './scale-options.js';
import { WatchedCommand } from './watched-command.js';

/** `cqrs diff-master | cqrs diff-replica`: five faults are found, and nothing else; the memory of both stays flat. */
export async function runDiff({ rows, heapMb, say }: ScaleOptions): Promise<boolean> {
  const exchange = uniqueName('scale');
  const queue = `${exchange}_replica`;
  await using topology = new AsyncDisposableStack();
  topology.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  await using master = await serviceWith(rows, { exchange });
  await using replica = await serviceWith(rows, { exchange, queue });
  const missing = [1, Math.floor(rows / 2), rows];
  const stale = [2, rows - 1];
  await replica.sql(`delete from payment where number in (${missing.join()})`);
  await replica.sql(`update payment set cqrs_revision = cqrs_revision + 1 where number in (${stale.join()})`);
  const pipe = openPipe();
  await using from = new WatchedCommand(['diff-master', '-c', 'payment', '--progress', '--json'], {
    rows,
    heapMb,
    env: master.env,
    stdout: pipe.write,
  });
  await using to = new WatchedCommand(['diff-replica', '--progress', '--json'], {
    rows,
    heapMb,
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
    .flatMap((line) => JSON.parse(line) as [string, number][])
    .map(([, number]) => number);
  const result = JSON.parse(err.trim().split('\n').at(-1)!) as { compared: number };
  say(`${rows} rows: ${result.compared} compared, ${found.length} differ`);
  const flat = [from.tell(say), to.tell(say)].every(Boolean);
  const expected = [...missing, ...stale].toSorted((a, b) => a - b);
  return flat && result.compared === rows && found.join() === expected.join();
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
