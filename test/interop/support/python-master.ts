import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type DjangoService, startPython } from './django-service.js';
import { collect } from './processes.js';

type Values = Readonly<Record<string, unknown>>;
/** Something that `interop/driver.py` can do. */
export type Step = { readonly do: string } & Values;

/** A Django application whose masters do what the test says. One process, one step after the other. */
export class PythonMaster implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #printed: () => string;
  readonly #answers: AsyncIterator<string>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(service: Omit<DjangoService, 'role'>) {
    this.#child = startPython({ ...service, role: 'master' }, ['-m', 'interop.driver']);
    this.#printed = collect(this.#child, 'stderr');
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Rejects with what Python has raised. */
  do(step: Step): Promise<unknown> {
    const done = this.#last.then(() => this.#exchange(step));
    this.#last = done.catch(() => {});
    return done;
  }

  create = (model: string, values: Values) => this.do({ do: 'create', model, values });
  change = (model: string, key: unknown, values: Values) => this.do({ do: 'change', model, key, values });
  delete = (model: string, key: unknown) => this.do({ do: 'delete', model, key });
  bulkCreate = (model: string, rows: readonly Values[]) => this.do({ do: 'bulk_create', model, rows });
  /** Rows of which no replica hears. */
  createSilently = (model: string, rows: readonly Values[]) =>
    this.do({ do: 'bulk_create', model, rows, announced: false });
  transaction = (steps: readonly Step[]) => this.do({ do: 'transaction', steps });
  /** Answers with what the command has printed. */
  command = (...args: string[]) => this.do({ do: 'command', arguments: args }) as Promise<string>;

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#child.exitCode === null ? once(this.#child, 'close') : undefined;
    this.#child.stdin.end();
    await closed;
  }

  async #exchange(step: Step): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(step)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the Python master has ended:\n${this.#printed()}`);
    const answer = JSON.parse(value) as { result?: unknown; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result;
  }
}
