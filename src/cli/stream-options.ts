import { UsageError, wholeNumber, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { SERVICE_OPTIONS } from './service.js';

/** The options of the commands that read or write many rows. */
export const STREAM_OPTIONS = {
  batch: { type: 'string', short: 'b', value: '<n>', help: 'Rows at a time; default 1000.' },
  progress: { type: 'boolean', short: 'p', help: 'Show progress where standard error is no terminal, too.' },
  json: { type: 'boolean', help: 'Print the result as one JSON object.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** The options that choose rows. */
export const ROWS_OPTIONS = {
  'cqrs-id': { type: 'string', short: 'c', value: '<id>', help: 'Whose rows; mandatory.' },
  filter: {
    type: 'string',
    short: 'f',
    value: '<json>',
    help: "Which rows, in MikroORM's query syntax; default: all.",
  },
} as const satisfies Options;

export function batchSize(values: Pick<Values<typeof STREAM_OPTIONS>, 'batch'>): number | undefined {
  const size = wholeNumber('batch', values.batch, 1);
  if (size !== undefined && size > MOST_ROWS)
    throw new UsageError(`--batch must be at most ${MOST_ROWS}, not '${size}'.`);
  return size;
}

const MOST_ROWS = 50_000;

/** @throws UsageError when no id is given. */
export function requiredId(values: Values<typeof ROWS_OPTIONS>): string {
  if (values['cqrs-id'] !== undefined) return values['cqrs-id'];
  throw new UsageError('--cqrs-id is missing: whose rows?');
}

/** How to go on with a pipe: rows that were sent are equal by then, and are not listed again. */
export const FROM_THE_FIRST = 'what was sent stays; run the pipe again from its first command for the rest.';

/** The exit code of a command whose list may have been cut short: what it has listed is right, and not all. */
export function listEnd(signal: AbortSignal): number {
  if (!signal.aborted) return Exit.done;
  console.error(
    'cqrs: stopped before the end; what was listed is right, and not all. Run the pipe again for the rest.',
  );
  return Exit.failed;
}

/** Says what was done: as lines in django-cqrs's words, or as JSON. */
export function report(
  say: (text: string) => void,
  json: boolean | undefined,
  result: object,
  lines: readonly string[],
): void {
  say(json ? JSON.stringify(result) : ['Done!', ...lines].join('\n'));
}
