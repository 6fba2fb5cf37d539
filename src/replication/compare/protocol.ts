import * as z from 'zod';
import { parseJson, type WireValue } from '../../wire/values.js';

/**
 * What a master asks and a replica answers when `reconcile` compares the two. Both are JSON; neither end trusts the other.
 *
 *   master                                                     replica
 *   describe: which fields have you, of which kinds? ────────▶
 *        ◀──────── fields, kinds of the key, row count
 *   digests: what are the hashes of your 256 groups? ────────▶
 *        ◀──────── a hash and a count for each                 meanwhile the master makes its own
 *   digests: and of the slots in these groups that differ? ──▶
 *        ◀──────── a hash and a count for each                 meanwhile the master makes its own
 *   rows: what is in these slots that differ? ───────────────▶
 *        ◀──────── key, version and checksum of each row       meanwhile the master reads its own
 *   keys: what have you of these keys now? ──────────────────▶
 *        ◀──────── the same of each, null where there is none   `each`: a checksum a field, to name those that differ
 *   incarnations: which is the greatest that you have? ──────▶
 *        ◀──────── that of a row or a deletion                  what the master makes anew is greater
 *   deletions: which of these keys do you remember as deleted? ▶
 *        ◀──────── the version of each deletion, null for others  a row that is missing there because of it cannot be sent
 *   try: what would become of these messages? ───────────────▶
 *        ◀──────── why each is not stored as it is               nothing is written; for rows that repairs do not reach
 *   conclude: this is what has come of it ───────────────────▶
 *        ◀──────── heard                                        its operators can see it where the replica is
 *
 * Each question stands alone and is answered from a snapshot of its own, so that each may reach another worker. The two
 * ends read at the same time, since what is written between two looks would seem different. Equal tables cost two
 * exchanges of some kilobytes, whatever their size; a difference costs the slots of its group and the rows of its slot.
 */

/** Grows when a question changes its meaning; an answerer refuses what it does not know. */
export const PROTOCOL_VERSION = 1;
/** The most rows that one answer holds. */
export const MOST_ROWS = 50_000;
/** The most keys that one question holds. */
export const MOST_KEYS = 5_000;
export const MOST_BITS = 16;
/** The most messages that one question has tried out, and their characters together. */
export const MOST_TRIED = 50;
export const MOST_TRIED_LENGTH = 1_000_000;
const MOST_FIELDS = 2_000;
/** The most keys that one question holds whose answer tells of each field. */
export function mostKeysWithFields(fields: number): number {
  return Math.max(1, Math.min(1_000, Math.floor(20_000 / Math.max(1, fields))));
}

const kind = z.string().min(1).max(40);
const name = z.string().min(1).max(200);
const bits = z.int().min(0).max(MOST_BITS);
const slot = z
  .int()
  .min(0)
  .max(2 ** MOST_BITS - 1);
const wire = z.custom<WireValue>((value) => value !== undefined);

const common = {
  version: z.literal(PROTOCOL_VERSION),
  cqrsId: z.string().min(1).max(120),
  /** How long the asker waits. */
  timeoutMs: z.int().min(1).max(3_600_000),
};
/** How rows are hashed: the fields by their names on the wire, with the kinds that the master's columns have. */
const hashing = {
  fields: z.array(z.strictObject({ name, kind })).max(MOST_FIELDS),
  keyKinds: z.array(kind).min(1).max(32),
  bits,
  incarnations: z.boolean(),
};
/** Whose content goes into checksums; null: compare versions only. */
const checksums = { checksums: z.array(name).max(MOST_FIELDS).nullable() };

export const questionSchema = z.discriminatedUnion('ask', [
  z.strictObject({ ...common, ask: z.literal('describe') }),
  z.strictObject({ ...common, ask: z.literal('incarnations') }),
  z.strictObject({
    ...common,
    ...hashing,
    ask: z.literal('digests'),
    /** The groups that the slots of interest are in; with 0 bits, all are in group 0. */
    groupBits: bits,
    groups: z
      .array(slot)
      .min(1)
      .max(2 ** MOST_BITS),
    /** Rows that were changed later are left out; as PostgreSQL reads it. */
    settledAt: z.string().max(64),
  }),
  z.strictObject({
    ...common,
    ...hashing,
    ...checksums,
    ask: z.literal('rows'),
    slots: z
      .array(slot)
      .min(1)
      .max(2 ** MOST_BITS),
  }),
  z.strictObject({
    ...common,
    ...checksums,
    ask: z.literal('keys'),
    keys: z.array(wire).max(MOST_KEYS),
    /** Whether the checksums are those of single fields. */
    each: z.boolean(),
  }),
  z.strictObject({ ...common, ask: z.literal('deletions'), keys: z.array(wire).max(MOST_KEYS) }),
  z.strictObject({
    ...common,
    ask: z.literal('try'),
    bodies: z.array(z.string().max(MOST_TRIED_LENGTH)).max(MOST_TRIED),
  }),
  z.strictObject({
    ...common,
    ask: z.literal('conclude'),
    /** Whether all rows were compared, or chosen ones. */
    whole: z.boolean(),
    masterRows: z.int().min(0),
    replicaRows: z.int().min(0),
    missing: z.int().min(0),
    extra: z.int().min(0),
    stale: z.int().min(0),
    damaged: z.int().min(0),
    ahead: z.int().min(0),
    repaired: z.int().min(0),
  }),
]);

export type Question = z.output<typeof questionSchema>;
export type Asked<A extends Question['ask']> = Extract<Question, { ask: A }>;

/** Key, revision, incarnation, `cqrs_updated` in microseconds since 1970, checksum of the content if it was asked for. */
const row = z.tuple([
  wire,
  z.int(),
  z.int().nullable(),
  z.int(),
  z
    .string()
    .max(8 * MOST_FIELDS)
    .nullable(),
]);

export const answerSchemas = {
  describe: z.strictObject({
    rows: z.int().min(0),
    /** Each column with all the names it goes by on the wire. */
    fields: z.array(z.strictObject({ names: z.array(name).min(1), kind })),
    keyKinds: z.array(kind),
    /** Whether every row has an incarnation. */
    incarnations: z.boolean(),
    /** Whether user code fills the columns, so that they need not hold what was sent. */
    custom: z.boolean(),
  }),
  incarnations: z.strictObject({ greatest: z.int().min(0).nullable() }),
  digests: z.strictObject({
    rows: z.int().min(0),
    /** For each group that was asked for, its slots as `SlotDigests` packs them. */
    groups: z.array(z.base64()),
  }),
  rows: z.strictObject({ rows: z.array(row).max(MOST_ROWS) }),
  keys: z.strictObject({ rows: z.array(row.nullable()).max(MOST_KEYS) }),
  /** Revision, incarnation, `cqrs_updated` in microseconds since 1970. */
  deletions: z.strictObject({
    versions: z.array(z.tuple([z.int(), z.int().nullable(), z.int()]).nullable()).max(MOST_KEYS),
  }),
  /** One a message; null: it would be stored as it is, or later, or it cannot be told. */
  try: z.strictObject({ reasons: z.array(z.string().max(200).nullable()).max(MOST_TRIED) }),
  conclude: z.strictObject({ heard: z.literal(true) }),
} as const;

export type Answer<A extends Question['ask']> = z.output<(typeof answerSchemas)[A]>;

export const refusalSchema = z.strictObject({ refused: z.strictObject({ reason: z.string(), cure: z.string() }) });

/** Any JSON, as the wire has it: long numbers are whole. @throws InvalidPayloadError */
export function readJson(bytes: Uint8Array): WireValue {
  return parseJson(new TextDecoder().decode(bytes));
}
