import { type Cqrs, type CqrsEvents, logEvents } from '../../src/index.js';
import { describeError } from '../../src/kernel/describe-error.js';
import type { End } from './corpus.ts';
import { SECRET } from './messages.ts';

const ENDS: ReadonlyMap<string, End> = new Map([
  ['cqrs.inbox.applied', 'applied'],
  ['cqrs.inbox.skipped', 'skipped'],
  ['cqrs.inbox.dead-lettered', 'dead-lettered'],
  ['cqrs.inbox.unreadable', 'unreadable'],
]);
const LONGEST_LINE = 1_500;
const PROTOTYPES = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Number.prototype];

/** Counts the ends of messages, reads every log line, and looks whether a prototype was touched. */
export class Watch implements Disposable {
  readonly ends: Record<End, number> = { applied: 0, skipped: 0, 'dead-lettered': 0, unreadable: 0 };
  retried = 0;
  splits = 0;
  lines = 0;
  readonly #logs: Disposable[];
  readonly #prototypes = PROTOTYPES.map((one) => Object.getOwnPropertyNames(one).join());
  #last: End | undefined;
  #changed: () => void = () => {};

  constructor(
    cqrs: Cqrs,
    private readonly problems: string[],
  ) {
    cqrs.events.onAny((name, fields) => {
      // Nothing is the matter with any server here.
      if (name === 'cqrs.inbox.failed') {
        this.problems.push(`the worker had to wait: ${describeError((fields as CqrsEvents[typeof name]).error)}`);
      }
      const end = ENDS.get(name);
      if (end) this.ends[(this.#last = end)]++;
      if (name === 'cqrs.inbox.retried') this.retried++;
      if (name === 'cqrs.inbox.batch-split') this.splits++;
      if (end) this.#changed();
    });
    const write = (line: string): void => this.#read(line);
    this.#logs = [
      logEvents(cqrs.events, { level: 'debug', write }),
      logEvents(cqrs.events, { level: 'debug', json: true, write }),
    ];
  }

  get ended(): number {
    return Object.values(this.ends).reduce((sum, count) => sum + count, 0);
  }

  /** How the last message ended. */
  get lastEnd(): End | undefined {
    return this.#last;
  }

  /** @throws when not that many messages have ended within the time: one of them hangs. */
  async until(ended: number, timeoutMs: number): Promise<void> {
    const late = performance.now() + timeoutMs;
    while (this.ended < ended) {
      const left = late - performance.now();
      if (left <= 0) throw new Error(`${ended - this.ended} messages have no end after ${timeoutMs} ms`);
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#changed = resolve;
      await promise;
      clearTimeout(timer);
    }
  }

  /** What must hold at any time. */
  check(): void {
    PROTOTYPES.forEach((one, index) => {
      if (Object.getOwnPropertyNames(one).join() !== this.#prototypes[index] || 'polluted' in one) {
        this.problems.push('a prototype was changed');
      }
    });
  }

  [Symbol.dispose](): void {
    for (const log of this.#logs) log[Symbol.dispose]();
  }

  #read(line: string): void {
    this.lines++;
    if (line.length > LONGEST_LINE)
      this.problems.push(`a log line of ${line.length} characters: ${line.slice(0, 200)}`);
    if (line.includes(SECRET)) this.problems.push(`row data in a log line: ${line.slice(0, 300)}`);
    // oxlint-disable-next-line no-control-regex -- these are the characters meant
    if (/[\u0000-\u001f\u007f-\u009f]/.test(line)) this.problems.push(`a control character in a log line: ${line}`);
  }
}
