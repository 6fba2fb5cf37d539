import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { WorkerOrder } from '../programs/worker.ts';

const program = fileURLToPath(new URL('../programs/worker.ts', import.meta.url));

interface Report {
  readonly ready?: true;
  readonly applied?: number;
  readonly megabytes?: number;
}

export interface WorkerProcess {
  /** Resolves when it consumes. */
  readonly ready: Promise<void>;
  /** Tells it to stop. */
  stop(): void;
  /** The most memory it ever had, once it has ended. */
  readonly megabytes: Promise<number>;
}

/** Starts a worker in a process of its own; `onApplied` hears how many messages it has applied so far. */
export function startWorker(order: WorkerOrder, onApplied: (applied: number) => void = () => {}): WorkerProcess {
  const child = fork(program, [JSON.stringify(order)]);
  const ready = Promise.withResolvers<void>();
  let megabytes = 0;
  child.on('message', (report: Report) => {
    if (report.ready) ready.resolve();
    if (report.applied !== undefined) onApplied(report.applied);
    megabytes = report.megabytes ?? megabytes;
  });
  const ended = once(child, 'exit').then(([code]) => {
    if (code === 0 && megabytes > 0) return megabytes;
    const error = new Error(`a worker process ended with ${String(code)}`);
    ready.reject(error);
    throw error;
  });
  ready.promise.catch(() => {});
  ended.catch(() => {});
  return { ready: ready.promise, megabytes: ended, stop: () => void child.send('stop') };
}
