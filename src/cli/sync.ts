import { describeError } from '../kernel/describe-error.js';
import { InputError } from '../kernel/errors.js';
import { parseJson, type WireValue } from '../wire/values.js';
import { raiseIncarnations } from '../operations/raise-incarnations.js';
import type { SyncResult } from '../replication/master/row-sender.js';
import { type Options, UsageError, type Values, wholeNumber } from './arguments.js';
import { watchBroker } from './broker-watch.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown } from './shutdown.js';
import { batchSize, requiredId, ROWS_OPTIONS, STREAM_OPTIONS } from './stream-options.js';

export const SYNC_OPTIONS = {
  ...ROWS_OPTIONS,
  queue: {
    type: 'string',
    short: 'q',
    value: '<queue>',
    help: 'The one replica that is to get them; default: all replicas.',
  },
  'new-incarnation': {
    type: 'boolean',
    help: 'Replace later states, too: after a restore of the master from a backup.',
  },
  replica: {
    type: 'string',
    multiple: true,
    value: '<queue>',
    help: 'With --new-incarnation: ask this replica first what it has, and go above it; repeatable.',
  },
  rate: { type: 'string', value: '<n>', help: 'Rows a second at most; default: as fast as the broker takes them.' },
  after: { type: 'string', value: '<key>', help: 'Begin behind this key, as JSON: where a stopped sync left off.' },
  ...STREAM_OPTIONS,
} as const satisfies Options;

/** `cqrs sync`: sends the present state of rows again. */
export async function sync(values: Values<typeof SYNC_OPTIONS>): Promise<number> {
  const cqrsId = requiredId(values);
  const filter = parseFilter(values.filter);
  const pageSize = batchSize(values);
  const { queue } = values;
  const newIncarnation = values['new-incarnation'];
  if (newIncarnation && queue !== undefined)
    throw new UsageError('--new-incarnation is for all replicas: leave out --queue.');
  const replicas = values.replica ?? [];
  if (replicas.length > 0 && !newIncarnation) throw new UsageError('--replica goes with --new-incarnation.');
  const rate = wholeNumber('rate', values.rate, 1);
  const after = parseAfter(values.after);
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  // Told now: later on, a broker that is away is waited for.
  await service.cqrs.connect();
  if (replicas.length > 0) await raiseIncarnations(service.cqrs, { cqrsId, queues: replicas, signal });
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  let failed = 0;
  let lastKey: readonly string[] | undefined = after;
  using _ = watchBroker(service.cqrs.events, progress.say, () => howToContinue(lastKey));
  const result = await withFilter(() =>
    service.cqrs.sync({
      cqrsId,
      filter,
      after,
      rate,
      queue,
      pageSize,
      newIncarnation,
      signal,
      onProgress: (sent) => {
        lastKey = sent.lastKey ?? lastKey;
        progress.show(sent.synced + sent.withdrawn);
      },
      onFailure: (key, error) => {
        failed++;
        progress.say(`cqrs: ${cqrsId} ${key.join(', ')}: ${describeError(error)}`);
      },
    }),
  ).catch((error: unknown) => {
    if (after && error instanceof InputError) throw new UsageError(`--after: ${error.message}`, { cause: error });
    if (lastKey !== after) console.error(`cqrs: ${howToContinue(lastKey)}`);
    throw error;
  });
  progress[Symbol.dispose]();
  console.log(values.json ? JSON.stringify({ ...result, failed }) : summary(cqrsId, result, queue));
  if (failed > 0) console.error(`cqrs: ${failed} rows could not be sent.`);
  if (result.unroutable > 0) {
    console.error(
      `cqrs: ${result.unroutable} messages reached no queue${queue === undefined ? '' : `; is '${queue}' the queue of a replica of ${cqrsId}?`}`,
    );
  }
  if (result.refused > 0) {
    console.error(`cqrs: ${result.refused} messages are held, since the broker refuses them: see cqrs refused list`);
  }
  if (signal.aborted) console.error(`cqrs: stopped before the end; ${howToContinue(lastKey)}`);
  return failed + result.unroutable + result.refused > 0 || signal.aborted ? Exit.failed : Exit.done;
}

function howToContinue(lastKey: readonly string[] | undefined): string {
  return lastKey ? `continue with --after ${writeAfter(lastKey)}` : 'nothing was sent.';
}

/** A key as `--after` takes it, quoted for a shell: `'7'`, `'"b1c"'`, `'[7,"b"]'`. */
export function writeAfter(key: readonly string[]): string {
  const parts = key.map((part) => (/^(0|-?[1-9]\d*)$/.test(part) ? part : JSON.stringify(part)));
  const text = parts.length === 1 ? parts[0]! : `[${parts.join(',')}]`;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @returns each part as PostgreSQL prints it. @throws UsageError */
export function parseAfter(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  let key: WireValue | undefined;
  try {
    key = parseJson(text);
  } catch {
    key = undefined;
  }
  const parts = Array.isArray(key) ? key : [key];
  if (parts.length > 0 && parts.every(isKeyPart)) return parts.map(String);
  throw new UsageError(`--after must be a key as JSON, such as 7, '"b1c"' or '[7,"b"]', not ${text}.`);
}

function isKeyPart(value: WireValue | undefined): value is string | number | bigint {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
}

function summary(cqrsId: string, { synced, withdrawn }: SyncResult, queue: string | undefined): string {
  const where = queue === undefined ? 'all replicas' : `queue ${queue}`;
  return `${cqrsId}: ${synced} rows sent to ${where}, ${withdrawn} withdrawn that no longer match.`;
}
