import { type Configuration, MikroORM, ValidationError } from '@mikro-orm/core';
import { EXTENSION } from '../core/extension.js';
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
 * from its extensions.
 * @throws UsageError when `@mikro-orm/cli`, the configuration or the `Cqrs` in it cannot be found.
 */
export async function loadService({ config }: Values<typeof SERVICE_OPTIONS>): Promise<Service> {
  const configuration = await loadConfiguration(config);
  const orm = await MikroORM.init(configuration.getAll());
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

/** Writes the events of the service to standard error, as the options say; dispose it last. */
export function startLog(
  { events }: Pick<Cqrs, 'events'>,
  values: Values<typeof LOG_OPTIONS>,
  source?: string,
): Disposable {
  return logEvents(events, { level: oneOf('log-level', values['log-level'], LOG_LEVELS), json: values.json, source });
}

async function loadConfiguration(path: string | undefined): Promise<Configuration> {
  const { CLIHelper } = await import('@mikro-orm/cli').catch((error: unknown) => {
    if (isMissing(error)) throw new UsageError('@mikro-orm/cli is not installed; run: npm install @mikro-orm/cli');
    throw error;
  });
  const settings = CLIHelper.getSettings();
  if (settings.preferTs !== false) await CLIHelper.registerTypeScriptSupport(settings.tsConfigPath, settings.tsLoader);
  try {
    // Not `getORM`, which changes the configuration for the sake of migrations: a worker runs what the service runs.
    return await CLIHelper.getConfiguration(undefined, path === undefined ? undefined : [path]);
  } catch (error) {
    if (error instanceof Error && /config file not found|needs to be installed/.test(error.message)) {
      throw new UsageError(error.message, { cause: error });
    }
    if (error instanceof ValidationError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === 'ERR_MODULE_NOT_FOUND' &&
    error.message.includes('@mikro-orm/cli')
  );
}
