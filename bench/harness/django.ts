import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { capture } from '../../scripts/support/command.ts';

const inCache = fileURLToPath(new URL('../../.cache/interop-venv/bin/python', import.meta.url));
const program = fileURLToPath(new URL('../django/measure.py', import.meta.url));

/** A Python that has django-cqrs; undefined where there is none. */
export function findPython(): string | undefined {
  const named = process.env['CQRS_INTEROP_PYTHON'];
  return named ?? (existsSync(inCache) ? inCache : undefined);
}

/** What django-cqrs does in a process and a database of its own. @returns how many a second */
export async function measureDjango(
  python: string,
  work: 'create' | 'bulk' | 'sync' | 'drain' | 'load',
  options: { count: number; exchange: string; queue: string; dump?: string },
): Promise<number> {
  const database = await createDatabase();
  try {
    const printed = await capture([python, program, work, String(options.count)], {
      label: `django-cqrs, ${work}`,
      timeoutMs: 300_000,
      env: {
        PYTHONDONTWRITEBYTECODE: '1',
        BENCH_DATABASE_URL: database.url,
        BENCH_AMQP_URL: amqpUrl,
        BENCH_EXCHANGE: options.exchange,
        BENCH_QUEUE: options.queue,
        BENCH_DUMP: options.dump ?? '',
      },
    });
    const line = printed.split('\n').find((one) => one.startsWith('{"perSecond"'))!;
    return (JSON.parse(line) as { perSecond: number }).perSecond;
  } finally {
    await database.drop();
  }
}
