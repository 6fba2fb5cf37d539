import { closeSync, openSync } from 'node:fs';
import { uniqueName } from '../support/broker.js';
import { serviceWith } from './service/service.js';
import type { ScaleOptions } from './scale-options.js';
import { WatchedCommand } from './watched-command.js';

/** `cqrs bulk-dump` of all rows: every one is written, and memory stays flat. */
export async function runDump({ rows, table, say }: ScaleOptions): Promise<boolean> {
  await using master = await serviceWith(rows, { table, exchange: uniqueName('scale') });
  const nowhere = openSync('/dev/null', 'w');
  await using dump = new WatchedCommand(['bulk-dump', '-c', table, '--output', '-', '--progress', '--json'], {
    rows,
    env: master.env,
    stdout: nowhere,
  });
  closeSync(nowhere);
  const { err } = await dump.ended;
  const result = JSON.parse(err.trim().split('\n').at(-1)!) as { saved: number; failed: number };
  say(`${rows} rows: ${result.saved} saved, ${result.failed} failed`);
  return dump.tell(say) && result.saved === rows && result.failed === 0;
}
