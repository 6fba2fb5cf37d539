import { existsSync } from 'node:fs';
import { MikroORM } from '@mikro-orm/core';
import { toError } from '../kernel/describe-error.js';
import { CqrsError } from '../kernel/errors.js';
import { EXTENSION } from '../kernel/extension.js';
import type { Cqrs } from '../cqrs.js';
import { LOG_LEVELS, logEvents } from '../observability/logging.js';
import { oneOf, UsageError, type Options, type Values } from './arguments.js';

/** The options of every command that works on the user's service. */
export const SERVICE_OPTIONS = {
  config: { type: 'string', value: '<path>', help: 'The MikroORM configuration; default: found as mikro-orm does.' },
} as const satisfies Options;

/** The options of every command that keeps running. */
export const LOG_OPTIONS = {
  'log-level': { type: 'string', value: '<level>', help: `One of ${LOG_LEVELS.join(', ')}; default info.` },
  json: { type: 'boolean', help: 'Log one JSON object a line.' },
} as const satisfies Options;

/** The user's service, loaded and not yet started. */
export interface Service extends AsyncDisposable {
  readonly cqrs: Cqrs;
  readonly orm: MikroORM;
}

/**
 * Loads the user's `mikro-orm.config` the way MikroORM's own command does, TypeScript included, and takes the `Cqrs`
 * from its extensions. Nothing is connected yet, so whatever fails here would fail the same way again.
 * @param begun false for a service that need not have entities yet
 * @throws UsageError
 */
export async function loadService({ config }: Values<typeof SERVICE_OPTIONS>, begun = true): Promise<Service> {
  const orm = await initialize(config, begun).catch((error: unknown) => {
    if (error instanceof UsageError || error instanceof CqrsError) throw error;
    throw new UsageError(`The MikroORM configuration cannot be loaded: ${toError(error).message}`, { cause: error });
  });
  const cqrs = orm.config.getExtension<Cqrs>(EXTENSION);
  if (cqrs === undefined) {
    await orm.close(true);
    throw new UsageError('The MikroORM configuration has no Cqrs; add it: extensions: [new Cqrs({ … })].');
  }
  return {
    cqrs,
    orm,
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close(true);
    },
  };
}

/** Writes the events of the service to standard error, as the options say. */
export function startLog(
  { events }: Pick<Cqrs, 'events'>,
  values: Values<typeof LOG_OPTIONS>,
  source?: string,
): Disposable {
  return logEvents(events, { level: oneOf('log-level', values['log-level'], LOG_LEVELS), json: values.json, source });
}

async function initialize(path: string | undefined, begun: boolean): Promise<MikroORM> {
  const { CLIHelper } = await import('@mikro-orm/cli').catch((error: unknown) => {
    if (isMissing(error)) throw new UsageError('@mikro-orm/cli is not installed; run: npm install @mikro-orm/cli');
    throw error;
  });
  const { preferTs, tsConfigPath = 'tsconfig.json', tsLoader } = CLIHelper.getSettings();
  // A built service has no tsconfig.json, and the loaders refuse to work without one.
  if (preferTs !== false && existsSync(tsConfigPath)) await CLIHelper.registerTypeScriptSupport(tsConfigPath, tsLoader);
  // Not `getORM`, which changes the configuration for the sake of migrations: a worker runs what the service runs.
  const configuration = await CLIHelper.getConfiguration(
    undefined,
    path === undefined ? undefined : [path],
    begun ? {} : { discovery: { warnWhenNoEntities: false } },
  );
  return MikroORM.init(configuration.getAll());
}

function isMissing(error: unknown): boolean {
  const { message, code } = toError(error) as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes('@mikro-orm/cli');
}
