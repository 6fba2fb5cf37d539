import { readFileSync } from 'node:fs';
import type { LoadResult } from '../../src/operations/load.js';

/** What the Python command has written, see the README of test/golden. */
export function golden(name: string): string {
  return readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8');
}

/** Collects a stream; `text` is all of it. */
export class Sink {
  text = '';
  readonly write = async (piece: string): Promise<void> => {
    this.text += piece;
  };
  get lines(): string[] {
    return this.text.split('\n').filter((line) => line !== '');
  }
}

/** A stream as it comes through a pipe: in pieces that end anywhere. */
export async function* pieces(text: string, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

/** The first line without its time, and the others. */
export function withoutTime(stream: string): string {
  return stream.replace(/,\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\+00:00/, ',<time>');
}

/** The rows of the golden dump, on the master. */
export const GOLDEN_PRODUCTS = `insert into product (id, name, quantity, price, created_at, active, cqrs_revision, cqrs_updated)
  select v.id, v.name, v.id * 10, v.id + 0.5, t.at, v.id % 2 = 1, v.revision, t.at
  from (values (1, 'One', 0), (2, 'Deux é 🎉 / "q"', 3), (3, 'Three', 1), (4, 'Four', 0), (5, 'Five', 2)) as v(id, name, revision),
    (values ('2024-01-02 03:04:05.123456+00'::timestamptz)) as t(at) /* cqrs */`;

/** What a load tells, where all that is not named is nothing. */
export const loadResult = (over: Partial<LoadResult>): LoadResult => ({
  loaded: 0,
  kept: 0,
  failed: 0,
  removed: 0,
  newer: 0,
  stopped: false,
  ...over,
});
