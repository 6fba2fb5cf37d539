import { fork } from 'node:child_process';
import type { Health } from '../activity/verdict.js';
import { Events } from '../kernel/events.js';
import type { Settings } from '../kernel/settings.js';
import { UsageError, wholeNumber, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import type { Cqrs } from '../cqrs.js';
import { watchFiles } from './file-watch.js';
import { HEALTH_OPTIONS, healthPort, serveHealth } from './health-server.js';
import { measure, mergeMetrics } from './metrics.js';
import { LOG_OPTIONS, loadService, SERVICE_OPTIONS, startLog } from './service.js';
import { aborted, onShutdown } from './shutdown.js';
import { Supervisor } from './supervisor.js';
import { WORKER_VARIABLE, workerLine } from './worker-process.js';
import { decideWorkers, REPORT_EVERY_MS, type WorkerSigns } from './worker-reports.js';

export const CONSUME_OPTIONS = {
  workers: {
    type: 'string',
    short: 'w',
    value: '<n>',
    help: 'Run n worker processes and start again those that die; default: this process alone.',
  },
  'cqrs-id': {
    type: 'string',
    multiple: true,
    value: '<id>',
    help: 'Only this id, from a queue of its own; repeatable.',
  },
  queue: {
    type: 'string',
    value: '<queue>',
    help: "The queue; default: the service's, with --cqrs-id <queue>.<ids joined by ->.",
  },
  reload: {
    type: 'boolean',
    help: 'For development: start the workers again when a source below this folder changes, and on SIGHUP.',
  },
  'ignore-paths': {
    type: 'string',
    value: '<paths>',
    help: 'With --reload: files and folders that do not count, separated by commas.',
  },
  ...HEALTH_OPTIONS,
  ...SERVICE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Options;

type ConsumeValues = Values<typeof CONSUME_OPTIONS>;

/** `cqrs consume`: this process alone, or as many as `-w` says under a supervisor. */
export async function consume(values: ConsumeValues): Promise<number> {
  const workers = wholeNumber('workers', values.workers, 1);
  healthPort(values['health-port']);
  const line = workerLine();
  if (values['ignore-paths'] !== undefined && !values.reload) throw new UsageError('--ignore-paths needs --reload.');
  if (line || (workers === undefined && !values.reload)) return work(values, line);
  return supervise(workers ?? 1, values);
}

async function work(values: ConsumeValues, line: ReturnType<typeof workerLine>): Promise<number> {
  const stop = line?.stop ?? onShutdown();
  await using service = await loadService(values);
  const { cqrs } = service;
  using _ = startLog(cqrs, values, line && `worker ${line.number}`);
  const consumer = cqrs.createConsumer(subscription(cqrs.settings, values));
  await using _probes = await beWatched(cqrs, values, line);
  await cqrs.start();
  const stopped = aborted(stop).then((reason) => {
    cqrs.events.emit('cqrs.worker.stopping', { reason });
    return consumer.stop();
  });
  await consumer.start();
  line?.tell('ready');
  await stopped;
  return Exit.done;
}

/** Answers probes itself, or tells the supervisor what it needs to answer them. */
async function beWatched(
  cqrs: Cqrs,
  values: ConsumeValues,
  line: ReturnType<typeof workerLine>,
): Promise<AsyncDisposable> {
  const health = (): Health => cqrs.health({ roles: ['worker'] });
  const port = healthPort(values['health-port']);
  if (!line)
    return port === undefined ? nothing : serveHealth(port, { events: cqrs.events, health, ...(await measure(cqrs)) });
  const report = (): void =>
    line.tell({ report: { health: health(), stuckSeconds: cqrs.settings.health.stuckSeconds } });
  report();
  const timer = setInterval(report, REPORT_EVERY_MS).unref();
  if (port !== undefined) {
    const { json } = await measure(cqrs);
    line.onMetrics(json);
  }
  return { [Symbol.asyncDispose]: async () => clearInterval(timer) };
}

const nothing: AsyncDisposable = { [Symbol.asyncDispose]: async () => {} };

async function supervise(workers: number, values: ConsumeValues): Promise<number> {
  const events = new Events();
  using _ = startLog({ events }, values);
  await using supervisor = new Supervisor({
    workers,
    events,
    patient: values.reload,
    // The same command line with the same Node options, so that loaders such as tsx come along.
    fork: (worker) =>
      fork(process.argv[1]!, process.argv.slice(2), { env: { ...process.env, [WORKER_VARIABLE]: String(worker) } }),
  });
  const port = healthPort(values['health-port']);
  await using _probes =
    port === undefined
      ? nothing
      : await serveHealth(port, {
          events,
          health: () => ({ ...decideWorkers(supervisor.signs), workers: supervisor.signs.map(workerSummary) }),
          metrics: async () => mergeMetrics(await supervisor.metrics()),
        });
  const stop = onShutdown(() => supervisor.kill());
  using _watching = values.reload ? reloading(supervisor, events, values) : undefined;
  await supervisor.start();
  void aborted(stop).then((reason) => {
    events.emit('cqrs.worker.stopping', { reason });
    return supervisor.stop();
  });
  return await supervisor.finished;
}

function workerSummary({ number, begun, pid, report }: WorkerSigns): object {
  return { number, pid, state: begun && pid === null ? 'ended' : (report?.health.state ?? 'starting') };
}

function reloading(supervisor: Supervisor, events: Events, values: ConsumeValues): Disposable {
  const restart = (reason: string): void => {
    events.emit('cqrs.worker.reloading', { reason });
    supervisor.restart();
  };
  process.on('SIGHUP', restart);
  return watchFiles({
    root: process.cwd(),
    ignored: values['ignore-paths']?.split(',').map((path) => path.trim()) ?? [],
    onChange: (path) => restart(`${path} changed`),
  });
}

/**
 * What to consume. Some ids only: never from the service's own queue, where a worker that leaves out an id would bury
 * the messages that the others wait for.
 * @throws UsageError
 */
export function subscription(
  settings: Pick<Settings, 'queue'>,
  { 'cqrs-id': given, queue }: Pick<ConsumeValues, 'cqrs-id' | 'queue'>,
): { queue?: string; cqrsIds?: readonly string[] } {
  if (given === undefined) return { queue };
  const cqrsIds = [...new Set(given)].toSorted();
  if (queue !== undefined && queue === settings.queue) {
    throw new UsageError(
      `--cqrs-id cannot consume '${queue}': it is the queue of the whole service, and messages of other ids would be lost to it. Leave out --queue, or name another.`,
    );
  }
  if (queue === undefined && settings.queue === null) {
    throw new UsageError('--cqrs-id needs --queue where settings.queue names none.');
  }
  return { queue: queue ?? `${settings.queue}.${cqrsIds.join('-')}`, cqrsIds };
}
