import { createInterface } from 'node:readline/promises';
import type { RefusedMessage, RefusedSelection } from '../messaging/outbox/held-messages.js';
import { type Options, UsageError, type Values, wholeNumber } from './arguments.js';
import { Exit } from './command.js';
import { openOutput } from './output.js';
import { loadService, SERVICE_OPTIONS } from './service.js';

const SELECTION = {
  id: { type: 'string', multiple: true, value: '<message>', help: 'A message, by its id in the outbox; repeatable.' },
  'cqrs-id': { type: 'string', short: 'c', value: '<id>', help: 'Messages of this id.' },
} as const satisfies Options;

export const REFUSED_LIST_OPTIONS = {
  ...SELECTION,
  limit: { type: 'string', value: '<n>', help: 'At most so many; default 100, 0 = all.' },
  json: { type: 'boolean', help: 'Print one JSON object a line.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

export const REFUSED_RETRY_OPTIONS = { ...SELECTION, ...SERVICE_OPTIONS } as const satisfies Options;

export const REFUSED_DROP_OPTIONS = {
  ...SELECTION,
  yes: { type: 'boolean', short: 'y', help: 'Do not ask.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

const PAGE = 100;

/** `cqrs refused list`: one line a message, oldest first, with what the broker says. */
export async function listRefusedMessages(values: Values<typeof REFUSED_LIST_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  const limit = wholeNumber('limit', values.limit, 0) ?? 100;
  await using service = await loadService(values);
  using output = openOutput(process.stdout);
  let shown = 0;
  for (let after: string | undefined; ;) {
    const most = limit === 0 ? PAGE : Math.min(PAGE, limit - shown);
    const page = most === 0 ? [] : await service.cqrs.refused.list(selection, { after, limit: most });
    for (const message of page) await output.line(values.json ? JSON.stringify(message) : brief(message));
    shown += page.length;
    after = page.at(-1)?.outboxId;
    if (page.length < most || after === undefined) break;
  }
  const more = shown === limit && limit > 0 ? '; there may be more: --limit 0 shows all' : '';
  if (!values.json) console.error(`${shown} refused messages${more}.`);
  return Exit.done;
}

/** `cqrs refused retry`: the relay attempts them at once. */
export async function retryRefusedMessages(values: Values<typeof REFUSED_RETRY_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  await using service = await loadService(values);
  const count = await service.cqrs.refused.retry(selection);
  console.log(`${count} refused messages are due now: the relay attempts them next.`);
  return Exit.done;
}

/** `cqrs refused drop`: they are gone for good, and what waits behind them leaves. */
export async function dropRefusedMessages(values: Values<typeof REFUSED_DROP_OPTIONS>): Promise<number> {
  const selection = readSelection(values);
  await using service = await loadService(values);
  const [first] = await service.cqrs.refused.list(selection, { limit: 1 });
  if (!first) console.error('cqrs: there is no such message.');
  else if (values.yes || (await isConfirmed())) {
    const count = await service.cqrs.refused.drop(selection);
    console.log(`${count} refused messages dropped. Replicas lack what they said; a sync of their rows repeats it.`);
  }
  return Exit.done;
}

async function isConfirmed(): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question('Drop the refused messages for good? [y/N] ')).trim());
  } finally {
    terminal.close();
  }
}

function readSelection(values: Values<typeof SELECTION>): RefusedSelection {
  const wrong = values.id?.find((id) => !/^[1-9]\d{0,17}$/.test(id));
  if (wrong !== undefined) throw new UsageError(`--id is a number, as cqrs refused list shows it, not ${wrong}.`);
  return { cqrsId: values['cqrs-id'], outboxIds: values.id };
}

function brief({
  outboxId,
  since,
  signalType,
  cqrsId,
  key,
  queue,
  bytes,
  attempts,
  retryAt,
  behind,
  reason,
}: RefusedMessage): string {
  return [
    outboxId,
    since,
    signalType,
    cqrsId,
    key,
    queue === null ? 'for all' : `for ${queue}`,
    `${bytes} bytes`,
    `attempts ${attempts}`,
    retryAt === null ? 'waits for an operator' : `next ${retryAt}`,
    `${behind} behind it`,
    reason,
  ].join('  ');
}
