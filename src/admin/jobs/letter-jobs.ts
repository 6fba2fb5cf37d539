import type * as z from 'zod';
import { describeError } from '../../kernel/describe-error.js';
import type { Outcome } from '../../messaging/inbox/handler.js';
import { putBack, dryRunLetter, selectLetters } from '../../operations/dead-letters.js';
import { showLetter } from '../../operations/shown-letter.js';
import { ApiProblem } from '../http/api-problem.js';
import type { AdminParts, Call, Handle } from '../http/call.js';
import type { JobKind, LettersAction } from '../contract.js';
import type { JobHandle } from './job-runner.js';
import { begunJob } from './job-view.js';
import { groupOf } from '../dead-letters/letters.js';

/** Dry-run, retry and purge of one letter, several, a group or all: jobs, with what became of each letter. */

type Selection = z.output<typeof LettersAction>['selection'];
type Found = Parameters<typeof putBack>[1];
/** Does it to one letter; answers what it is counted as, and whether that is good. */
type Deed = (parts: AdminParts, found: Found) => Promise<{ ok: boolean; count: string; reason: string }>;

export const dryRunLetters: Handle<'dryRunLetters'> = (parts, call) => act(parts, call, 'dead-letters-dry-run', dryRun);

export const retryLetters: Handle<'retryLetters'> = (parts, call) => act(parts, call, 'dead-letters-retry', retry);

export const purgeLetters: Handle<'purgeLetters'> = async (parts, call) => {
  const { selection, expected } = call.body;
  if (!('ids' in selection)) {
    if (expected === undefined) {
      throw new ApiProblem('bad-request', 'To purge a group or all of them say how many you expect.', {
        cure: 'Send `expected`: the count that you were shown.',
      });
    }
    const now = await countNow(parts, selection);
    if (now > expected) {
      throw new ApiProblem('conflict', `There are ${now} by now, and not ${expected}: nothing was purged.`, {
        cure: 'Look at them again.',
        details: { count: now },
      });
    }
  }
  return act(parts, call, 'dead-letters-purge', purge);
};

const dryRun: Deed = async ({ cqrs }, found) => {
  const { describe } = showLetter(cqrs, found.letter);
  return describeOutcome(await dryRunLetter(cqrs, found), describe);
};

const retry: Deed = async ({ cqrs }, found) => {
  if (!found.letter.payload) return { ok: false, count: 'left', reason: 'left: it cannot be read' };
  await putBack(cqrs, found);
  return { ok: true, count: 'putBack', reason: 'put back' };
};

const purge: Deed = async (_, { hand }) => {
  await hand.purge();
  return { ok: true, count: 'purged', reason: 'purged' };
};

type Action = 'dryRunLetters' | 'retryLetters' | 'purgeLetters';
const VERBS = {
  'dead-letters-dry-run': 'Try out',
  'dead-letters-retry': 'Retry',
  'dead-letters-purge': 'Purge',
} as const;

async function act(
  parts: AdminParts,
  { body: { selection, expected }, user }: Call<Action>,
  kind: Extract<JobKind, keyof typeof VERBS>,
  deed: Deed,
): ReturnType<Handle<Action>> {
  const look = await parts.letters.look();
  const title = `${VERBS[kind]} ${describeSelection(
    selection,
    look.groups.find(({ id }) => 'group' in selection && id === selection.group),
  )}`;
  const cqrsIds = new Set(look.letters.filter((letter) => isChosen(selection, letter)).map(({ cqrsId }) => cqrsId));
  const job = await parts.jobs.start(
    {
      kind,
      title,
      cqrsId: cqrsIds.size === 1 ? [...cqrsIds][0]! : null,
      queue: parts.cqrs.settings.queue,
      by: user.user,
      request: { selection, expected },
    },
    (handle) => parts.letters.work(() => workThrough(parts, handle, { selection, expected, deed })),
  );
  return begunJob(parts, job);
}

async function workThrough(
  parts: AdminParts,
  job: JobHandle,
  { selection, expected, deed }: { selection: Selection; expected: number | undefined; deed: Deed },
): Promise<string | undefined> {
  const ids = 'ids' in selection ? selection.ids : undefined;
  job.total = ids?.length ?? expected ?? null;
  const wanted = new Set(ids);
  for await (const found of selectLetters(parts.cqrs, { ids })) {
    if (job.signal.aborted) return undefined;
    const { letter } = found;
    if (!isChosen(selection, { id: letter.id, group: groupOf(letter) })) continue;
    // More than the user was shown are not meant.
    if (expected !== undefined && job.done >= expected) break;
    try {
      const { ok, count, reason } = await deed(parts, found);
      job.add(count);
      job.note({ key: letter.id, ok, reason });
    } catch (error) {
      job.add('failed');
      job.note({ key: letter.id, ok: false, reason: describeError(error) });
    }
    job.done++;
    wanted.delete(letter.id);
    if (ids && wanted.size === 0) break;
  }
  for (const id of wanted) {
    job.add('missing');
    job.note({ key: id, ok: false, reason: 'there is no such letter any more' });
  }
  job.total = job.done + wanted.size;
  job.done = job.total;
  const failed = job.counts['failed'] ?? 0;
  return failed > 0 ? `${failed} of ${job.done} failed; see what became of each.` : undefined;
}

async function countNow({ letters }: AdminParts, selection: Selection): Promise<number> {
  const look = await letters.look({ fresh: true });
  return 'all' in selection ? look.count : look.letters.filter((letter) => isChosen(selection, letter)).length;
}

function isChosen(selection: Selection, { id, group }: { id: string; group: string }): boolean {
  if ('ids' in selection) return selection.ids.some((one) => id.startsWith(one));
  return 'all' in selection || group === selection.group;
}

function describeSelection(
  selection: Selection,
  group: { cqrsId: string | null; reason: string | null } | undefined,
): string {
  if ('all' in selection) return 'all dead letters';
  if ('ids' in selection)
    return selection.ids.length === 1 ? 'a dead letter' : `${selection.ids.length} chosen dead letters`;
  return `the dead letters of ${group?.cqrsId ?? 'a group'}${group?.reason == null ? '' : ` (${group.reason})`}`;
}

function describeOutcome(
  outcome: Outcome,
  describe: (error: unknown) => string,
): { ok: boolean; count: string; reason: string } {
  switch (outcome.kind) {
    case 'applied':
      return { ok: true, count: 'wouldWork', reason: `would work: ${outcome.action}` };
    case 'skipped':
      return { ok: true, count: 'wouldBeSkipped', reason: `would be skipped: ${outcome.reason}` };
    default: {
      const why = outcome.error ? describe(outcome.error) : outcome.reason;
      return { ok: false, count: 'wouldFail', reason: `would fail: ${why}` };
    }
  }
}
