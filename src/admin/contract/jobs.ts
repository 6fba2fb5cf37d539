import * as z from 'zod';
import { Matching } from './rows.js';
import { count, key, text, time } from './values.js';

export const JobKind = z.enum([
  'sync',
  'reconcile',
  'repair',
  'dead-letters-dry-run',
  'dead-letters-retry',
  'dead-letters-purge',
]);
export type JobKind = z.infer<typeof JobKind>;

/** `interrupted`: the process that ran it has gone. */
export const JobState = z.enum(['waiting', 'running', 'done', 'failed', 'cancelled', 'interrupted']);
export type JobState = z.infer<typeof JobState>;

/** Something a job could not do, or what became of one thing that it was given. */
export const JobItem = z.object({
  key: text.describe('of a row, or the id of a dead letter'),
  ok: z.boolean(),
  reason: text,
});
export type JobItem = z.infer<typeof JobItem>;

export const Job = z.object({
  id: text,
  kind: JobKind,
  title: text.describe('what it does, in words'),
  cqrsId: text.nullable(),
  queue: text.nullable().describe('of a sync: the one replica it is for; null: all'),
  by: text.describe('who asked for it'),
  state: JobState,
  createdAt: time,
  startedAt: time.nullable(),
  endedAt: time.nullable(),
  done: count,
  total: count.nullable(),
  ratePerSecond: z.number().min(0).nullable(),
  etaSeconds: z.number().min(0).nullable(),
  cancelRequested: z.boolean(),
  counts: z.record(z.string(), count).describe('of a sync: sent, withdrawn, unroutable, refused, failed, missing'),
  error: text.nullable().describe('why it failed as a whole, with what to do'),
});
export type Job = z.infer<typeof Job>;

export const JobDetail = Job.extend({
  items: z.array(JobItem).describe('rows that did not go and why; of dead letters: what became of each'),
  itemsLeftOut: count.describe('how many more there were than are kept'),
});
export type JobDetail = z.infer<typeof JobDetail>;

export const JobsPage = z.object({ jobs: z.array(Job), next: z.string().nullable() });
export type JobsPage = z.infer<typeof JobsPage>;

const queue = z
  .string()
  .min(1)
  .max(120)
  .regex(/^[^*#\s]+$/, "a queue's name has no '*', '#' or blanks")
  .nullable();

export const SyncRequest = z.strictObject({
  queue: queue.default(null).describe('the one replica that is to get them; null: all'),
  selection: z.union([
    z.strictObject({ keys: z.array(key).min(1).max(10_000) }),
    z.strictObject({ query: Matching.describe('everything that matches') }),
  ]),
});
export type SyncRequest = z.input<typeof SyncRequest>;
