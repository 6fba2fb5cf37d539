import { isNativeError } from 'node:util/types';
import { describeError } from '../kernel/describe-error.js';
import type { CqrsEventName, CqrsEvents, Events } from '../kernel/events.js';
import { LOG_LEVELS, sumText, WORDS, type Line, type LogLevel, type Sum } from './log-lines.js';

export { LOG_LEVELS, type LogLevel } from './log-lines.js';

export interface LogOptions {
  /** The least important level that is written. Default `info`; `debug` has a line for every message. */
  readonly level?: LogLevel;
  /** One JSON object a line, with all fields of the event, for log collectors. Default: plain text for people. */
  readonly json?: boolean;
  /** Takes each finished line, without line feed. Default: standard error. */
  readonly write?: (line: string) => void;
  /** Who is speaking, where several processes share a terminal. */
  readonly source?: string;
  /** How often running sums are written, and for how long lines alike are counted together. Default 5 000. */
  readonly intervalMs?: number;
}

/** Of lines alike, this many are written in one interval. */
const MOST_ALIKE = 10;

/**
 * Writes what happens as log lines: ids, counts and reasons; never row data, never credentials. Published and applied
 * batches appear as sums, and a flood of lines alike is cut short with a count, so that a busy service stays readable.
 * The answer ends it, writing what is still owed.
 */
export function logEvents(events: Events, options: LogOptions = {}): Disposable & { close(): void } {
  const log = new Log(options);
  const off = events.onAny((name, fields) => log.take(name, fields));
  const close = (): void => {
    off();
    log.flush();
  };
  return { close, [Symbol.dispose]: close };
}

interface Running {
  readonly event: CqrsEventName;
  readonly sum: Sum;
}

interface Flood {
  readonly event: CqrsEventName;
  readonly level: LogLevel;
  readonly alike: string;
  count: number;
}

class Log {
  readonly #least: number;
  readonly #json: boolean;
  readonly #write: (line: string) => void;
  readonly #source: string | undefined;
  readonly #intervalMs: number;
  readonly #running = new Map<string, Running>();
  readonly #floods = new Map<string, Flood>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ level = 'info', json = false, write, source, intervalMs = 5_000 }: LogOptions) {
    this.#least = LOG_LEVELS.indexOf(level);
    this.#json = json;
    this.#write = write ?? ((line) => void process.stderr.write(`${line}\n`));
    this.#source = source;
    this.#intervalMs = intervalMs;
  }

  take<N extends CqrsEventName>(event: N, fields: CqrsEvents[N]): void {
    const words: Line | Sum = WORDS[event](fields);
    if (LOG_LEVELS.indexOf(words.level) < this.#least) return;
    if ('of' in words) this.#add(event, words);
    else if (this.#mayBeWritten(event, words)) this.#print(event, words.level, words.text, fields);
  }

  /** Writes the sums and the counts of what was cut short, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { event, sum } of this.#running.values()) this.#print(event, sum.level, sumText(event, sum), sum);
    for (const { event, level, alike, count } of this.#floods.values()) {
      const more = count - MOST_ALIKE;
      if (more > 0) this.#print(event, level, `${more} more like this: ${event} ${alike}`.trim(), { alike, more });
    }
    this.#running.clear();
    this.#floods.clear();
  }

  #add(event: CqrsEventName, more: Sum): void {
    const key = `${event} ${more.of}`;
    const sum = this.#running.get(key)?.sum;
    this.#running.set(key, { event, sum: sum ? add(sum, more) : more });
    this.#flushLater();
  }

  #mayBeWritten(event: CqrsEventName, { alike, level }: Line): boolean {
    if (alike === undefined) return true;
    const key = `${event} ${alike}`;
    const flood = this.#floods.get(key) ?? { event, level, alike, count: 0 };
    flood.count++;
    this.#floods.set(key, flood);
    this.#flushLater();
    return flood.count <= MOST_ALIKE;
  }

  // Not a reason to stay alive: whoever ends in an orderly way calls `close`.
  #flushLater(): void {
    this.#timer ??= setTimeout(() => this.flush(), this.#intervalMs).unref();
  }

  #print(event: CqrsEventName, level: LogLevel, text: string, fields: object): void {
    const time = new Date().toISOString();
    if (this.#json) {
      const source = this.#source === undefined ? {} : { source: this.#source };
      return this.#write(
        escaped(JSON.stringify({ time, level, event, message: text, ...source, ...fields }, replacer)),
      );
    }
    const source = this.#source === undefined ? '' : `[${this.#source}] `;
    this.#write(clean(`${time} ${level.toUpperCase().padEnd(5)} ${source}${text}`));
  }
}

function add(one: Sum, other: Sum): Sum {
  return {
    ...one,
    messages: one.messages + other.messages,
    ...(one.applied === undefined ? {} : { applied: one.applied + (other.applied ?? 0) }),
    lagMs: one.lagMs === null || other.lagMs === null ? (one.lagMs ?? other.lagMs) : Math.max(one.lagMs, other.lagMs),
  };
}

function replacer(_key: string, value: unknown): unknown {
  if (isNativeError(value)) return describeError(value);
  return typeof value === 'bigint' ? String(value) : value;
}

// JSON leaves DEL and the control characters behind it as they are; terminals obey them.
function escaped(json: string): string {
  return json.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

// Ids and reasons come from messages: a line feed or an escape sequence in one must not forge a line.
function clean(line: string): string {
  // oxlint-disable-next-line no-control-regex -- these are the characters meant
  return line.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
