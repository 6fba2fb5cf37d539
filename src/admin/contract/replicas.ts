import * as z from 'zod';
import { RowCount } from './rows.js';
import { ReplicaInfo } from './service.js';
import { count, time, text, key, reasonCounts } from './values.js';

export const ReplicaState = z.object({
  cqrsId: text,
  entity: text,
  path: ReplicaInfo.shape.path,
  rows: RowCount,
  lastApplied: time.nullable().describe('when this service last applied a message of it'),
  lastUpdated: time.nullable().describe('when its newest state was made on the master; null: not known, or no row'),
  lagMs: z.number().min(0).nullable().describe('from commit on the master to here, of what was applied last'),
  applied: count.describe('this and the following: as long as the history is kept'),
  skipped: reasonCounts,
  retried: reasonCounts,
  deadLettered: reasonCounts,
  lastComparison: z
    .object({ at: time, text })
    .nullable()
    .describe('what its master has told of its last comparison with it; null: none as far back as events are kept'),
});
export type ReplicaState = z.infer<typeof ReplicaState>;

export const ReconcileRequest = z.strictObject({
  queue: z
    .string()
    .min(1)
    .max(120)
    .optional()
    .describe('of the replica that is compared; may be left out where the settings name just one'),
  repair: z.boolean().default(false).describe('false: only find the differences'),
  settleSeconds: z.number().min(0).max(3_600).optional().describe('how long messages may be on their way; default 5'),
});
export type ReconcileRequest = z.input<typeof ReconcileRequest>;

export const Difference = z.object({
  key: text,
  kind: z.enum(['missing', 'stale', 'damaged', 'extra', 'ahead']),
  fields: z
    .array(text)
    .nullable()
    .describe('the fields whose content differs; null: not known, or only one of the two has the row'),
  masterRevision: count.nullable().describe('as the comparison found it; null: no such row'),
  replicaRevision: count.nullable().describe('the same of the replica'),
  otherIncarnation: z.boolean().describe('the key was deleted and created again between the two revisions'),
  repaired: z.boolean(),
});
export type Difference = z.infer<typeof Difference>;

export const DifferencesPage = z.object({
  differences: z.array(Difference),
  next: z.string().nullable(),
  leftOut: count.describe('how many more there were than are kept; all of them where the key is hidden'),
});
export type DifferencesPage = z.infer<typeof DifferencesPage>;

export const RepairRequest = z.strictObject({
  selection: z.union([
    z.strictObject({ keys: z.array(key).min(1).max(10_000) }),
    z.strictObject({ all: z.literal(true) }),
  ]),
});
export type RepairRequest = z.input<typeof RepairRequest>;
