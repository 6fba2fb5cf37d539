import { createInterface } from 'node:readline/promises';
import type { Cqrs } from '../cqrs.js';
import {
  type Letter,
  letterQueues,
  type LetterSelection,
  purgeLetters,
  putBack,
  dryRunLetter,
  selectLetters,
} from '../operations/dead-letters.js';
import { NOT_SHOWN } from '../operations/hidden-values.js';
import { showLetter } from '../operations/shown-letter.js';
import { durationSeconds, UsageError, wholeNumber, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { openOutput } from './output.js';
import { loadService, SERVICE_OPTIONS } from './service.js';
import { CutShortError, onShutdown, StoppedError } from './shutdown.js';

const SELECTION = {
  id: {
    type: 'string',
    multiple: true,
    value: '<letter>',
    help: 'A letter, by its id or the beginning of it; repeatable.',
  },
  'cqrs-id': { type: 'string', short: 'c', multiple: true, value: '<id>', help: 'Letters of this id; repeatable.' },
  key: { type: 'string', multiple: true, value: '<key>', help: 'Letters about the row with this key; repeatable.' },
  reason: { type: 'string', value: '<text>', help: 'Letters whose reason or error contains this.' },
  'older-than': { type: 'string', value: '<age>', help: 'Dead for at least this long: 90s, 15m, 2h, 3d.' },
  'newer-than': { type: 'string', value: '<age>', help: 'Dead for at most this long.' },
  queue: { type: 'string', value: '<queue>', help: "Whose dead letters; default: those of the service's queue." },
} as const satisfies Options;

const JSON_OPTION = { type: 'boolean', help: 'Print one JSON object a line.' } as const;

export const LIST_OPTIONS = {
  ...SELECTION,
  limit: { type: 'string', value: '<n>', help: 'At most so many; default 100, 0 = all.' },
  json: JSON_OPTION,
  ...SERVICE_OPTIONS,
} as const satisfies Options;

export const SHOW_OPTIONS = { ...SELECTION, ...SERVICE_OPTIONS } as const satisfies Options;

export const RETRY_OPTIONS = {
  ...SELECTION,
  'dry-run': {
    type: 'boolean',
    help: 'Put nothing back; apply in a transaction that is rolled back, and say how it went.',
  },
  json: JSON_OPTION,
  ...SERVICE_OPTIONS,
} as const satisfies Options;

export const PURGE_OPTIONS = {
  ...SELECTION,
  yes: { type: 'boolean', short: 'y', help: 'Do not ask.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs dead-letters list`: one line a letter, oldest first, with the reason. */
export async function list(values: Values<typeof LIST_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  const limit = wholeNumber('limit', values.limit, 0) ?? 100;
  await using service = await loadService(values);
  using output = openOutput(process.stdout);
  let shown = 0;
  for await (const { letter } of lookAt(service.cqrs, selection)) {
    await output.line(values.json ? JSON.stringify(facts(service.cqrs, letter)) : brief(service.cqrs, letter));
    if (++shown === limit) break;
  }
  const { deadLetterQueue } = letterQueues(service.cqrs, selection);
  const more = shown === limit && limit > 0 ? '; there may be more: --limit 0 shows all' : '';
  if (!values.json) console.error(`${shown} dead letters of ${deadLetterQueue}${more}.`);
  return Exit.done;
}

/** `cqrs dead-letters show`: everything about each letter, its body included as far as it may be shown. */
export async function show(values: Values<typeof SHOW_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  await using service = await loadService(values);
  using output = openOutput(process.stdout);
  let shown = 0;
  for await (const { letter } of lookAt(service.cqrs, selection)) {
    const { id, cqrsId, signalType, instancePk, retries, reason, error, since } = facts(service.cqrs, letter);
    await output.line(
      [
        `letter   ${id}`,
        `message  ${signalType ?? 'unreadable'} ${cqrsId ?? '-'} ${instancePk ?? '-'}, ${retries} retries`,
        `reason   ${reason ?? 'not told'}`,
        ...(error === null ? [] : [`error    ${error}`]),
        ...(since === null ? [] : [`since    ${since}`]),
        shownBody(service.cqrs, letter),
        '',
      ].join('\n'),
    );
    shown++;
  }
  return shown === 0 ? noneFound(values.id) : Exit.done;
}

/** `cqrs dead-letters dump`: the bodies, one a line, as django-cqrs prints them, but only with what may be shown. */
export async function dump(values: Values<typeof SHOW_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  await using service = await loadService(values);
  using output = openOutput(process.stdout);
  for await (const { letter } of lookAt(service.cqrs, selection)) {
    await output.line(shownBody(service.cqrs, letter));
  }
  return Exit.done;
}

/** Letters that are printed. An error after the first of them says that these are not all. */
async function* lookAt(cqrs: Cqrs, selection: LetterSelection): ReturnType<typeof selectLetters> {
  let isFirst = true;
  try {
    for await (const found of selectLetters(cqrs, selection)) {
      yield found;
      isFirst = false;
    }
  } catch (error) {
    throw isFirst ? error : new CutShortError(error, 'What was printed is not all.');
  }
}

/** `cqrs dead-letters retry`: back to the queue, or with `--dry-run` only a look at what would become of them. */
export async function retry(values: Values<typeof RETRY_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  const signal = onShutdown();
  await using service = await loadService(values);
  using output = openOutput(process.stdout);
  const attempt = values['dry-run'] ? tryOut : revive;
  const done = values['dry-run'] ? 'would work now' : 'put back';
  let count = 0;
  let failed = 0;
  const soFar = (): string =>
    values['dry-run'] ? `${count - failed} of ${count} ${done}.` : theRest(`${count - failed} ${done}`);
  try {
    for await (const found of selectLetters(service.cqrs, selection, signal)) {
      const { ok, text } = await attempt(service.cqrs, found);
      count++;
      if (!ok) failed++;
      await output.line(
        values.json
          ? JSON.stringify({ ...facts(service.cqrs, found.letter), ok, result: text })
          : `${brief(service.cqrs, found.letter)} → ${text}`,
      );
    }
  } catch (error) {
    throw count === 0 ? error : new CutShortError(error, soFar());
  }
  if (signal.aborted) throw new StoppedError(soFar());
  if (count === 0 && values.id) return noneFound(values.id);
  if (!values.json) console.error(`${count - failed} of ${count} dead letters ${done}.`);
  return failed > 0 ? Exit.failed : Exit.done;
}

/** `cqrs dead-letters purge`: purges them for good, once it has been confirmed. */
export async function purge(values: Values<typeof PURGE_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  const { queue: _, ...conditions } = selection;
  const everything = Object.values(conditions).every((condition) => condition === undefined);
  if (!values.yes && !process.stdin.isTTY)
    throw new UsageError('dead letters are purged for good; confirm it with --yes.');
  await using service = await loadService(values);
  const { cqrs } = service;
  if (!values.yes && !(await isConfirmed(cqrs, selection))) return Exit.failed;
  const signal = onShutdown(); // only now: at the question Ctrl-C means no
  let purged = 0;
  try {
    if (everything) purged = await purgeLetters(cqrs, selection);
    else {
      for await (const { hand } of selectLetters(cqrs, selection, signal)) {
        await hand.purge();
        purged++;
      }
    }
  } catch (error) {
    throw purged === 0 ? error : new CutShortError(error, theRest(`${purged} purged`));
  }
  if (signal.aborted && !everything) throw new StoppedError(theRest(`${purged} purged`));
  if (purged === 0 && values.id) return noneFound(values.id);
  console.log(`${purged} dead letters purged from ${letterQueues(cqrs, selection).deadLetterQueue}.`);
  return Exit.done;
}

function theRest(done: string): string {
  return `${done}, the others are where they were. Run it again to go on.`;
}

/** What was asked for by name must be there; other conditions may match nothing. */
function noneFound(ids: readonly string[] | undefined): number {
  console.error(`cqrs: there is no such dead letter${ids ? `: ${ids.join(', ')}` : ''}.`);
  return Exit.failed;
}

async function isConfirmed(cqrs: Cqrs, selection: LetterSelection): Promise<boolean> {
  let count = 0;
  for await (const _ of selectLetters(cqrs, selection)) count++;
  if (count === 0) {
    noneFound(selection.ids);
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`Purge ${count} dead letters for good? [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

type Attempt = (cqrs: Cqrs, found: Parameters<typeof putBack>[1]) => Promise<{ ok: boolean; text: string }>;

const revive: Attempt = async (cqrs, found) => {
  if (!found.letter.payload) return { ok: false, text: 'left: it cannot be read' };
  await putBack(cqrs, found);
  return { ok: true, text: 'put back' };
};

const tryOut: Attempt = async (cqrs, found) => {
  const { describe } = showLetter(cqrs, found.letter);
  const outcome = await dryRunLetter(cqrs, found);
  switch (outcome.kind) {
    case 'applied':
      return { ok: true, text: `would work: ${outcome.action}` };
    case 'skipped':
      return { ok: true, text: `would be passed over: ${outcome.reason}` };
    case 'failed':
      return { ok: false, text: `would fail: ${outcome.reason ?? describe(outcome.error)}` };
    case 'dead-letter':
      return { ok: false, text: `would fail: ${outcome.error ? describe(outcome.error) : outcome.reason}` };
  }
};

function readSelection(values: Values<typeof SELECTION>): LetterSelection & { queue?: string | undefined } {
  return {
    ids: values.id,
    cqrsIds: values['cqrs-id'],
    keys: values.key,
    reason: values.reason,
    olderThanSeconds: durationSeconds('older-than', values['older-than']),
    newerThanSeconds: durationSeconds('newer-than', values['newer-than']),
    queue: values.queue,
  };
}

/** What may be shown without a look at row data. */
interface Facts extends Omit<Letter, 'body' | 'payload' | 'since'> {
  readonly since: string | null;
}

function facts(cqrs: Cqrs, letter: Letter): Facts {
  const { id, cqrsId, signalType, retries, reason, since } = letter;
  const { key, error } = showLetter(cqrs, letter);
  const instancePk = key ?? (letter.instancePk === null ? null : NOT_SHOWN);
  return { id, cqrsId, signalType, instancePk, retries, reason, error, since: since && since.toISOString() };
}

/** What cannot be read cannot be looked through for what may be shown either. */
function shownBody(cqrs: Cqrs, letter: Letter): string {
  const { message } = showLetter(cqrs, letter);
  if (message) return message.payload.toMessage();
  return JSON.stringify(`${letter.body.length} characters that cannot be read`);
}

function brief(cqrs: Cqrs, letter: Letter): string {
  const { id, cqrsId, signalType, instancePk, retries, reason, error, since } = facts(cqrs, letter);
  const why = [reason ?? 'reason not told', error].filter(Boolean).join(': ');
  return [id, since ?? '-', signalType ?? '-', cqrsId ?? '-', instancePk ?? '-', `retries ${retries}`, why].join('  ');
}
