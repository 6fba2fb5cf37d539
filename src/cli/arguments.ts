import { parseArgs } from 'node:util';
import { isNativeError } from 'node:util/types';

/** One option of a command, as the help shows it. */
export interface Option {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** May be given several times. */
  readonly multiple?: true;
  /** What stands for the value in the help, e.g. `<queue>`. */
  readonly value?: string;
  readonly help: string;
}

export type Options = Readonly<Record<string, Option>>;

/** What `run` gets: one value an option, undefined when it was not given. */
export type Values<O extends Options = Options> = {
  readonly [K in keyof O]: O[K]['type'] extends 'boolean'
    ? boolean | undefined
    : O[K] extends { multiple: true }
      ? readonly string[] | undefined
      : string | undefined;
};

/** A command line that cannot be obeyed: one line that says what is wrong; the process ends with 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError for an unknown option, a missing value, or an argument that stands alone. */
export function parseOptions<O extends Options>(options: O, args: readonly string[]): Values<O> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false })
      .values as unknown as Values<O>;
  } catch (error) {
    throw new UsageError(firstSentence(error));
  }
}

/** A whole number from `least` on. @throws UsageError */
export function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  throw new UsageError(`--${name} must be a whole number from ${least} on, not '${text}'.`);
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A length of time such as `90s`, `15m`, `2h`, `3d`, in seconds. @throws UsageError */
export function durationSeconds(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * UNIT_SECONDS[unit!]!;
  throw new UsageError(`--${name} must be a length of time such as 90s, 15m, 2h or 3d, not '${text}'.`);
}

/** A number of seconds, `0` and fractions included. @throws UsageError */
export function seconds(name: string, text: string | undefined): number | undefined {
  if (text === undefined || /^\d+(\.\d+)?$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new UsageError(`--${name} must be a number of seconds, not '${text}'.`);
}

/** One of the given words. @throws UsageError */
export function oneOf<T extends string>(name: string, text: string | undefined, words: readonly T[]): T | undefined {
  if (text === undefined) return undefined;
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${name} must be one of ${words.join(', ')}, not '${text}'.`);
}

// Node explains at length how to pass arguments that look like options, which no command here takes.
function firstSentence(error: unknown): string {
  const message = isNativeError(error) ? error.message : String(error);
  const [sentence] = message.split(/\.\s|\n/);
  return `${sentence!.replace(/\.$/, '')}.`;
}
