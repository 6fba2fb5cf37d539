import * as z from 'zod';
import { Operator } from './service.js';
import { count, time, text, key } from './values.js';

/** A condition on one column; all conditions must hold. `value`: a list for `in`, left out for `empty` and `notEmpty`. */
export const Condition = z.strictObject({
  column: text,
  operator: Operator,
  value: z.union([z.string().max(10_000), z.array(z.string().max(10_000)).min(1).max(1_000)]).optional(),
});
export type Condition = z.infer<typeof Condition>;

export const Sort = z.strictObject({ column: text, direction: z.enum(['asc', 'desc']) });
export type Sort = z.infer<typeof Sort>;

/** Which rows. `search`: a piece of any text column, in any case, or the beginning of a key. */
const matching = {
  search: z.string().max(1_000).optional(),
  filters: z.array(Condition).max(50).optional(),
};
export const Matching = z.strictObject(matching);
export type Matching = z.infer<typeof Matching>;

export const RowsQuery = z.strictObject({
  ...matching,
  sort: Sort.optional().describe('default: by key, ascending'),
  after: z.string().max(20_000).optional().describe('`next` of the page before'),
  before: z.string().max(20_000).optional().describe('`previous` of the page behind'),
  limit: z.int().min(1).max(500).default(50),
});
export type RowsQuery = z.input<typeof RowsQuery>;

export const Row = z.object({
  key: text,
  values: z.record(z.string(), z.string().nullable()).describe('by column; long texts are cut'),
  cut: z.array(text).describe('the columns whose text was cut'),
  revision: count,
  updated: time.describe('when it was last changed, to the microsecond'),
});
export type Row = z.infer<typeof Row>;

export const RowsPage = z.object({
  rows: z.array(Row),
  next: z.string().nullable(),
  previous: z.string().nullable(),
});
export type RowsPage = z.infer<typeof RowsPage>;

export const RowCount = z.object({
  count: count.nullable().describe('null: counting took too long'),
  exact: z.boolean().describe('false: an estimate of the database'),
});
export type RowCount = z.infer<typeof RowCount>;

export const RowRequest = z.strictObject({ key });

/** One answer to "why is this row not there?". */
export const Fact = z.object({
  state: z.enum(['good', 'bad', 'unknown', 'note']),
  where: z.enum(['row', 'filter', 'outbox', 'relay', 'broker', 'queue', 'replica', 'dead-letters']),
  text,
  cure: text.optional(),
});
export type Fact = z.infer<typeof Fact>;

export const Payload = z.object({
  signalType: z.enum(['SYNC', 'DELETE']).describe('DELETE: the row is not for replicas, and a sync withdraws it'),
  body: text.nullable().describe('the JSON as it would be sent now, indented; null when it cannot be made'),
  error: text.nullable(),
  hidden: z.array(text).describe('fields that travel and are not shown here'),
});
export type Payload = z.infer<typeof Payload>;

/** A message of a row that the broker has confirmed. */
export const SentMessage = z.object({
  signalType: text,
  revision: count.nullable(),
  queue: text.nullable().describe('the one replica it was for; null: all'),
  committedAt: time,
  confirmedAt: time,
  unroutable: z.boolean().describe('the broker had no queue for it'),
});
export type SentMessage = z.infer<typeof SentMessage>;

export const MasterRow = z.object({
  key: text,
  exists: z.boolean(),
  values: z.record(z.string(), z.string().nullable()),
  revision: count.nullable(),
  incarnation: text.nullable(),
  updated: time.nullable(),
  included: z.boolean().nullable().describe('whether isSyncInstance lets it travel; null: there is no such row'),
  waiting: z
    .array(
      z.object({ outboxId: text, signalType: text, queue: text.nullable(), since: time, failure: text.nullable() }),
    )
    .describe('its messages that are still in the outbox'),
  sent: z
    .array(z.object({ at: time, what: text, by: text.nullable(), job: text.nullable() }))
    .describe('without a history, what can be told of its messages that have left, newest first'),
  history: z
    .array(SentMessage)
    .nullable()
    .describe(
      'its last messages that the broker has, newest first, at most 50; null: they are not kept, as the setting relay.sentRetentionSeconds is not set',
    ),
  facts: z.array(Fact),
  payload: Payload.nullable(),
});
export type MasterRow = z.infer<typeof MasterRow>;

export const ReplicaRow = z.object({
  key: text,
  exists: z.boolean(),
  values: z.record(z.string(), z.string().nullable()),
  revision: count.nullable(),
  incarnation: text.nullable(),
  updated: time.nullable(),
  tombstone: z.object({ revision: count, updated: time, deletedAt: time }).nullable(),
  deadLetters: z.array(text).describe('ids of dead letters about this row, among the first that were looked at'),
  facts: z.array(Fact),
});
export type ReplicaRow = z.infer<typeof ReplicaRow>;
