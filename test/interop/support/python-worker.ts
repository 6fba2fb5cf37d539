import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { type DjangoService, startPython } from './django-service.js';
import { eventually } from './eventually.js';
import { collect } from './processes.js';

/** A Django replica service: `cqrs_consume` with one worker process. */
export class PythonWorker implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #printed: () => string;

  constructor(service: Omit<DjangoService, 'role'>) {
    this.#child = startPython({ ...service, role: 'replica' }, ['-m', 'interop.worker']);
    this.#printed = collect(this.#child, 'stderr');
  }

  /** The lines of its log, what Python prints of exceptions among them. */
  get log(): readonly string[] {
    return this.#printed().split('\n');
  }

  /** Waits until a line of its log holds the text. */
  async says(text: string): Promise<void> {
    const seen = await eventually(
      () => this.log,
      (log) => log.some((line) => line.includes(text)),
    );
    if (!seen.some((line) => line.includes(text))) {
      throw new Error(`the Python worker never said '${text}':\n${seen.join('\n')}`);
    }
  }

  /** How many messages it has applied, or found to be applied already. */
  get applied(): number {
    return this.log.filter((line) => line.startsWith('CQRS is applied')).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#child.exitCode === null ? once(this.#child, 'close') : undefined;
    this.#child.stdin.end();
    await closed;
  }
}
