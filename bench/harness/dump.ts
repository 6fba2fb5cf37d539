import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NAME } from '../products.ts';

export interface DumpFile extends AsyncDisposable {
  readonly path: string;
}

/** A dump of that many products, as `cqrs bulk-dump` writes it. */
export async function writeDump(count: number): Promise<DumpFile> {
  const folder = await mkdtemp(join(tmpdir(), 'cqrs-bench-'));
  const path = join(folder, 'products.dump');
  const file = await open(path, 'w');
  await file.write('product');
  for (let from = 1; from <= count; from += 10_000) {
    let text = '';
    for (let id = from; id < Math.min(from + 10_000, count + 1); id++) text += `\n${line(id)}`;
    await file.write(text);
  }
  await file.close();
  return {
    path,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

function line(id: number): string {
  return (
    `{"id":${id},"name":"${NAME} ${id}","quantity":${id},"price":"12.50","created_at":"2026-01-01 00:00:00.123456+00:00",` +
    `"active":true,"cqrs_revision":0,"cqrs_updated":"2026-01-01 00:00:00.123456+00:00","cqrs_incarnation":1700000000000000}`
  );
}
