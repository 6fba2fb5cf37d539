import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { amqpUrl } from '../../support/broker.js';
import { type Ended, runToEnd } from './processes.js';
import { python, type PythonTransport } from './python.js';

/** Which service the Django project is, and how its things are called. */
export interface DjangoService {
  readonly role: 'master' | 'replica';
  readonly transport: PythonTransport;
  readonly databaseUrl: string;
  readonly exchange: string;
  /** A replica's queue. */
  readonly queue?: string;
  /** Where its times are from, which then have no offset (`USE_TZ=False`). Default: they have one. */
  readonly timeZone?: string;
  /** Whether the tables are there already, made by a service of ours. */
  readonly keepTables?: boolean;
}

const project = fileURLToPath(new URL('../django', import.meta.url));

/** Starts a Python program of the Django project: `-m interop.driver`, `manage.py cqrs_diff_master …`. */
export function startPython(service: DjangoService, args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(python, ['-u', ...args], {
    cwd: project,
    env: {
      ...process.env,
      // Compiled files would turn up in the working tree.
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONIOENCODING: 'utf-8',
      INTEROP_ROLE: service.role,
      INTEROP_TRANSPORT: service.transport,
      INTEROP_DATABASE_URL: service.databaseUrl,
      INTEROP_AMQP_URL: brokerOfDefaultVhost(),
      INTEROP_EXCHANGE: service.exchange,
      ...(service.queue === undefined ? {} : { INTEROP_QUEUE: service.queue }),
      ...(service.timeZone === undefined ? {} : { INTEROP_TIME_ZONE: service.timeZone }),
      ...(service.keepTables ? { INTEROP_KEEP_TABLES: 'yes' } : {}),
    },
  });
}

/** Runs one of django-cqrs's commands to its end, as an operator would. */
export function pythonCommand(service: DjangoService, args: readonly string[]): Promise<Ended> {
  return runToEnd(startPython(service, ['manage.py', ...args]));
}

// django-cqrs throws the vhost away over pika, and both ends must meet.
function brokerOfDefaultVhost(): string {
  const { pathname } = new URL(amqpUrl);
  if (['', '/', '/%2F', '/%2f'].includes(pathname)) return amqpUrl;
  throw new Error('CQRS_TEST_AMQP_URL names a vhost, and django-cqrs over pika knows only the default one');
}
