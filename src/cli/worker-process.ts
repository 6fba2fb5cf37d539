import type { WorkerReport } from './worker-reports.js';

/**
 * The two ends of the line between a supervisor and its worker processes.
 *
 *   supervisor ──fork, CQRS_WORKER=n──▶ worker
 *              ◀──────── 'ready' ──────         it consumes
 *              ◀──────── report ───────         how it is, every two seconds
 *              ───────── 'metrics' ────▶        what has it counted?
 *              ◀──────── metrics ──────
 *              ───────── 'stop' ───────▶        it drains and ends; so it does when the supervisor is gone
 */

/** Which worker this is, counted from 1; undefined in a process that stands for itself. */
export const WORKER_VARIABLE = 'CQRS_WORKER';

/** What a worker says; `metrics` as prom-client hands them from process to process. */
export type WorkerMessage = 'ready' | { readonly report: WorkerReport } | { readonly metrics: readonly object[] };

export interface WorkerLine {
  readonly number: number;
  /** Aborted when this worker is to drain and end. */
  readonly stop: AbortSignal;
  tell(message: WorkerMessage): void;
  /** Called for each question after what this worker has counted. */
  onMetrics(answer: () => Promise<readonly object[]>): void;
}

/** The line of this process to its supervisor, if it has one. */
export function workerLine(): WorkerLine | undefined {
  const number = Number(process.env[WORKER_VARIABLE]);
  if (!number || !process.connected) return undefined;
  const stopping = new AbortController();
  const stop = (reason: string): void => stopping.abort(reason);
  const tell = (message: WorkerMessage): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {}); // a supervisor that is gone hears nothing
  };
  process.on('message', (message) => message === 'stop' && stop('supervisor'));
  process.on('disconnect', () => stop('supervisor gone'));
  // No second signal counts here: terminals and service managers signal the whole group, and the supervisor ends us.
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return {
    number,
    stop: stopping.signal,
    tell,
    onMetrics: (answer) =>
      void process.on('message', (message) => {
        if (message === 'metrics') void answer().then((metrics) => tell({ metrics }));
      }),
  };
}
