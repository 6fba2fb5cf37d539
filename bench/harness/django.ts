import { fileURLToPath } from 'node:url';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { interopPython, pythonOf, PythonMissing } from '../../scripts/interop/virtualenv.ts';
import { capture } from '../../scripts/support/command.ts';

const program = fileURLToPath(new URL('../django/measure.py', import.meta.url));

const former = {
  name: 'django-cqrs-3.0-venv',
  requirements: fileURLToPath(new URL('../django/requirements-3.0.txt', import.meta.url)),
};

/** A Python with the newest django-cqrs; undefined where there is none that could have it. */
export function newestPython(say: (line: string) => void): Promise<string | undefined> {
  return unlessMissing(interopPython(say));
}

/** The same with the last release that opened a connection to the broker for each message it published. */
export function formerPython(say: (line: string) => void): Promise<string | undefined> {
  return unlessMissing(pythonOf(former, say));
}

async function unlessMissing(python: Promise<string>): Promise<string | undefined> {
  try {
    return await python;
  } catch (error) {
    if (error instanceof PythonMissing) return undefined;
    throw error;
  }
}

/** What django-cqrs does in a process and a database of its own. @returns how many a second */
export async function measureDjango(
  python: string,
  work: 'create' | 'bulk' | 'sync' | 'drain' | 'load',
  options: {
    count: number;
    exchange: string;
    queue: string;
    dump?: string;
    transport?: 'RabbitMQTransport' | 'KombuTransport';
  },
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
        BENCH_TRANSPORT: options.transport ?? 'RabbitMQTransport',
      },
    });
    const line = printed.split('\n').find((one) => one.startsWith('{"perSecond"'))!;
    return (JSON.parse(line) as { perSecond: number }).perSecond;
  } finally {
    await database.drop();
  }
}
