import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { amqpUrl } from '../../support/broker.js';
import type { DjangoService } from './django-service.js';
import { type Ended, runToEnd } from './processes.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

type Service = Pick<DjangoService, 'role' | 'databaseUrl' | 'exchange' | 'queue'>;

/** Runs `cqrs …` of the service that stands in for a Django one, to its end. */
export function ourCommand(service: Service, args: readonly string[]): Promise<Ended> {
  return runToEnd(startOurs(service, args));
}

/** Starts it. */
export function startOurs(service: Service, args: readonly string[]): ChildProcessWithoutNullStreams {
  const config = 'test/interop/service/mikro-orm.config.ts';
  return spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args, '--config', config], {
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      INTEROP_ROLE: service.role,
      INTEROP_DATABASE_URL: service.databaseUrl,
      INTEROP_AMQP_URL: amqpUrl,
      INTEROP_EXCHANGE: service.exchange,
      ...(service.queue === undefined ? {} : { INTEROP_QUEUE: service.queue }),
    },
  });
}
