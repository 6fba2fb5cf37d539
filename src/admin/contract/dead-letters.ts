import * as z from 'zod';
import { count, time, text } from './values.js';

export const LetterGroup = z.object({
  id: text,
  cqrsId: text.nullable(),
  reason: text.nullable(),
  error: text.nullable(),
  field: text.nullable().describe('the field at fault, where the error names one'),
  count,
  oldest: time.nullable(),
  newest: time.nullable(),
  mostRetries: count,
});
export type LetterGroup = z.infer<typeof LetterGroup>;

export const LetterGroups = z.object({
  queue: text,
  exists: z.boolean().describe('false: there is no such queue yet'),
  count: count.describe('all that are there'),
  lookedAt: count.describe('the groups are those of so many, the oldest'),
  groups: z.array(LetterGroup),
});
export type LetterGroups = z.infer<typeof LetterGroups>;

export const Letter = z.object({
  id: text.describe('equal bodies have the same'),
  group: text,
  cqrsId: text.nullable(),
  signalType: text.nullable(),
  key: text.nullable(),
  retries: count,
  reason: text.nullable(),
  error: text.nullable(),
  field: text.nullable(),
  since: time.nullable(),
});
export type Letter = z.infer<typeof Letter>;

export const LettersQuery = z.strictObject({
  group: text.optional(),
  offset: count.default(0),
  limit: z.int().min(1).max(200).default(50),
});
export type LettersQuery = z.input<typeof LettersQuery>;

export const LettersPage = z.object({ letters: z.array(Letter), total: count });
export type LettersPage = z.infer<typeof LettersPage>;

export const LetterDetail = Letter.extend({
  body: text.describe(
    'the message, indented; only with values that this service maps and does not hide. What cannot be read: its length',
  ),
  hidden: z.array(text).describe('fields whose values are hidden'),
  unmapped: z.array(text).describe('fields that this service does not map; their values are not shown'),
  fieldValue: text.nullable().describe('the offending field’s value, as JSON, where it may be shown'),
});
export type LetterDetail = z.infer<typeof LetterDetail>;

export const LettersAction = z.strictObject({
  selection: z.union([
    z.strictObject({
      ids: z
        .array(z.string().regex(/^[0-9a-f]{4,64}$/))
        .min(1)
        .max(10_000),
    }),
    z.strictObject({ group: text }),
    z.strictObject({ all: z.literal(true) }),
  ]),
  expected: count
    .optional()
    .describe(
      'how many the user was shown. Mandatory to purge a group or all: refused as a conflict if there are more',
    ),
});
export type LettersAction = z.input<typeof LettersAction>;
