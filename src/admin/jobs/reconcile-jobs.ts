import { stringifyJson, type WireValue } from '../../wire/values.js';
import { reconcile } from '../../operations/reconcile/reconcile.js';
import type { ReconciledRow, ReconcileReport } from '../../operations/reconcile/report.js';
import { isOtherIncarnation } from '../../operations/reconcile/row-verdict.js';
import { ApiProblem } from '../http/api-problem.js';
import type { AdminParts, Handle } from '../http/call.js';
import { type Difference, Difference as DifferenceSchema } from '../contract.js';
import { hidesKey } from '../../operations/hidden-properties.js';
import { NOT_SHOWN } from '../../operations/hidden-values.js';
import type { JobHandle } from './job-runner.js';
import { jobTable } from './job-store.js';
import { begunJob } from './job-view.js';
import { readKeyText } from '../rows/row-key.js';
import type { BrowsableTable } from '../rows/tables.js';

/** Compares a master with the replica at one queue, shows what differs, and repairs chosen rows: jobs of `reconcile`. */

const MOST_DIFFERENCES = 10_000;

export const startReconcile: Handle<'reconcile'> = async (parts, { params, body, user }) => {
  const { cqrsId } = await parts.tables.master(params['cqrsId']!);
  const { repair, settleSeconds } = body;
  const queue = body.queue ?? onlyQueue(parts);
  const title = `Compare ${cqrsId} with its replica at ${queue}${repair ? ', and repair what differs' : ''}`;
  const job = await parts.jobs.start(
    { kind: 'reconcile', title, cqrsId, queue, by: user.user, request: body },
    (handle) => run(parts, handle, { cqrsId, queue, dryRun: !repair, settleSeconds }),
  );
  return begunJob(parts, job);
};

export const repairDifferences: Handle<'repair'> = async (parts, { params, body: { selection }, user }) => {
  const from = await findReconcile(parts, params['id']!);
  const open = (await differencesOf(parts, from.id)).filter(({ repaired }) => !repaired);
  const wanted = 'keys' in selection ? new Set(selection.keys) : undefined;
  const chosen = open.filter(({ key, kind }) => (wanted ? wanted.has(key) : kind !== 'ahead'));
  if (chosen.length === 0) throw new ApiProblem('conflict', 'None of these differences is left to be repaired.');
  const { cqrsId, queue } = from;
  const table = await parts.tables.master(cqrsId);
  const keys = chosen.map(({ key }) => wireKey(table, key));
  const title = `Repair ${chosen.length} ${chosen.length === 1 ? 'row' : 'rows'} of ${cqrsId} at ${queue}`;
  const job = await parts.jobs.start(
    { kind: 'repair', title, cqrsId, queue, by: user.user, request: { of: from.id, selection } },
    async (handle) => {
      const error = await run(parts, handle, { cqrsId, queue, dryRun: false, keys });
      const found = new Map(
        handle.found.map((difference) => [(difference as Difference).key, difference as Difference]),
      );
      // What is no difference any more has been repaired meanwhile, by whatever.
      const all = await differencesOf(parts, from.id);
      const asked = new Set(chosen.map(({ key }) => key));
      const now = all.map((one) =>
        asked.has(one.key) && !handle.signal.aborted ? { ...one, repaired: found.get(one.key)?.repaired ?? true } : one,
      );
      await jobTable(parts.cqrs).setFindings(from.id, now);
      return error;
    },
  );
  return begunJob(parts, job);
};

export const differences: Handle<'differences'> = async (parts, { params, query: { after = '0', limit } }) => {
  const from = await findReconcile(parts, params['id']!);
  const start = Number(after);
  if (!Number.isSafeInteger(start) || start < 0)
    throw new ApiProblem('bad-request', 'after: it is no place in this list.');
  const all = await differencesOf(parts, from.id);
  return {
    differences: all.slice(start, start + limit),
    next: start + limit < all.length ? String(start + limit) : null,
    leftOut: hidesKey(parts.cqrs, from.cqrsId) ? from.differences : from.findingsLeftOut,
  };
};

function onlyQueue({ cqrs }: AdminParts): string {
  const { queues } = cqrs.settings.admin;
  const [only, ...others] = queues;
  if (only !== undefined && others.length === 0) return only;
  throw new ApiProblem('bad-request', 'Say which replica to compare with: its queue.', {
    cure: only === undefined ? 'Name known queues in the setting admin.queues.' : `Known are ${queues.join(', ')}.`,
  });
}

interface What {
  readonly cqrsId: string;
  readonly queue: string;
  readonly dryRun: boolean;
  readonly settleSeconds?: number | undefined;
  readonly keys?: readonly WireValue[];
}

async function run({ cqrs }: AdminParts, job: JobHandle, what: What): Promise<string | undefined> {
  const report = await reconcile(cqrs, {
    ...what,
    sampleSize: hidesKey(cqrs, what.cqrsId) ? 0 : MOST_DIFFERENCES,
    signal: job.signal,
    onProgress: ({ done, total }) => {
      job.done = done;
      job.total = total;
    },
    onFailure: (key, reason) => job.note({ key: hidesKey(cqrs, what.cqrsId) ? NOT_SHOWN : key, ok: false, reason }),
  });
  for (const row of report.sample) job.find(toDifference(row));
  count(job, report);
  if (job.signal.aborted) return undefined;
  const { unrepaired, failed, reasons } = report;
  const known = Object.entries(reasons).map(([reason, rows]) => `${rows} ${reason}`);
  if (unrepaired > 0) {
    return `${unrepaired} ${unrepaired === 1 ? 'row was' : 'rows were'} sent, and the replica still has them otherwise${known.length > 0 ? ` (${known.join(', ')})` : ''}. Look at its dead letters.`;
  }
  return failed > 0 ? `${failed} ${failed === 1 ? 'row' : 'rows'} could not be compared: see why.` : undefined;
}

function count(job: JobHandle, report: ReconcileReport): void {
  const { masterRows, replicaRows, missing, extra, stale, damaged, ahead } = report;
  const { unsettled, changedLately, repaired, unrepaired, failed } = report;
  job.counts['masterRows'] = masterRows;
  job.counts['replicaRows'] = replicaRows;
  const found = { missing, extra, stale, damaged, ahead, unsettled, changedLately, repaired, unrepaired, failed };
  for (const [name, value] of Object.entries(found)) job.add(name, value);
  job.counts['differences'] = missing + extra + stale + damaged + ahead;
}

function toDifference({ key, difference, master, replica, fields, outcome }: ReconciledRow): Difference {
  return {
    key: Array.isArray(key) ? stringifyJson(key.map(partText)) : partText(key),
    kind: difference,
    fields: fields && [...fields],
    masterRevision: master?.revision ?? null,
    replicaRevision: replica?.revision ?? null,
    otherIncarnation: master !== null && replica !== null && isOtherIncarnation(master, replica),
    repaired: outcome === 'repaired',
  };
}

function partText(part: WireValue): string {
  return typeof part === 'string' ? part : stringifyJson(part);
}

/** A key as the page names it → as it travels. */
function wireKey({ keyColumns }: BrowsableTable, key: string): WireValue {
  const parts = readKeyText(key, keyColumns.length).map((part, index): WireValue => {
    const whole = keyColumns[index]!.kind === 'integer' && /^-?\d+$/.test(part);
    if (!whole) return part;
    return Number.isSafeInteger(Number(part)) ? Number(part) : BigInt(part);
  });
  return parts.length === 1 ? parts[0]! : parts;
}

async function differencesOf({ cqrs }: AdminParts, id: string): Promise<Difference[]> {
  return (await jobTable(cqrs).list(id, 'findings')).map((finding) => DifferenceSchema.parse(finding));
}

/** @throws ApiProblem when there is no such job, or it compared nothing. */
async function findReconcile(
  { cqrs, jobs }: AdminParts,
  id: string,
): Promise<{ id: string; cqrsId: string; queue: string; findingsLeftOut: number; differences: number }> {
  await jobs.prepare();
  const job = await jobTable(cqrs).find(id);
  if (!job) throw new ApiProblem('not-found', 'There is no such job.');
  const { cqrsId, queue, findingsLeftOut, counts } = job;
  if (job.kind !== 'reconcile' || cqrsId === null || queue === null) {
    throw new ApiProblem('bad-request', `Job ${id} has compared nothing.`);
  }
  return { id, cqrsId, queue, findingsLeftOut, differences: counts['differences'] ?? 0 };
}
