import * as z from 'zod';

/** What many endpoints have in common. */

export const count = z.int().min(0);
export const time = z.string().describe('ISO 8601 with offset');
export const text = z.string();
export const key = z.string().min(1).max(2_000).describe('names a row: its key as text, or a JSON array of the parts');
export const reasonCounts = z.record(z.string(), count);
