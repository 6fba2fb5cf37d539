import type { FilterQuery } from '@mikro-orm/core';
import { writeKey } from '../replication/compare/keyed-table.js';
import { describeError } from '../kernel/describe-error.js';
import type { Cqrs } from '../cqrs.js';
import { MasterRows } from './master-rows.js';
import { countRows, inSnapshot, keyPages } from './snapshot.js';

export interface DumpResult {
  /** Rows that are in the dump. */
  readonly saved: number;
  /** Rows that were looked at: those left out by `isSyncInstance` and those that failed are among them. */
  readonly processed: number;
  /** Rows whose serializer failed. */
  readonly failed: number;
}

/**
 * All rows of a master as a file for `bulk-load`, in django-cqrs's format: the id, then for each row a newline and its
 * instance data; no newline at the end. Everything is read from one snapshot. Ours have `cqrs_incarnation` beside the
 * revision, and `cqrs_texts` where JSON says less than the row; Python replicas ignore both.
 * @throws UnknownCqrsIdError, and what `write` rejects with.
 */
export async function dumpRows(
  cqrs: Cqrs,
  options: {
    readonly cqrsId: string;
    /** MikroORM's query syntax; default: every row. */
    readonly filter?: FilterQuery<object> | undefined;
    /** Default 1000. */
    readonly pageSize?: number | undefined;
    readonly write: (text: string) => Promise<void>;
    /** A row that is left out since its serializer failed. */
    readonly onFailure?: (key: string, reason: string) => void;
    /** Called with the number of rows first, if `count` is set, and after each page. */
    readonly onProgress?: (processed: number, total: number | undefined) => void;
    /** Whether to count the rows first. */
    readonly count?: boolean | undefined;
    readonly signal?: AbortSignal;
  },
): Promise<DumpResult> {
  cqrs.masters.get(options.cqrsId);
  const result = { saved: 0, processed: 0, failed: 0 };
  await inSnapshot(cqrs, async (snapshot) => {
    const rows = new MasterRows(cqrs, snapshot, options.cqrsId);
    const where = options.filter;
    const total = options.count ? await countRows(snapshot, rows.table, where) : undefined;
    options.onProgress?.(0, total);
    await options.write(options.cqrsId);
    for await (const page of keyPages(snapshot, rows.table, { where, pageSize: options.pageSize ?? 1_000 })) {
      let text = '';
      for (const row of await rows.find(page.map(({ key }) => key))) {
        try {
          text += `\n${withBesides(await row.data(), rows.incarnation(row.image), row.texts())}`;
          result.saved++;
        } catch (error) {
          result.failed++;
          options.onFailure?.(writeKey(rows.table, row.key), describeError(error));
        }
      }
      if (text !== '') await options.write(text);
      result.processed += page.length;
      options.onProgress?.(result.processed, total);
      if (options.signal?.aborted) return;
    }
  });
  return result;
}

function withBesides(data: string, incarnation: string | null, texts: string | undefined): string {
  const members = [
    ...(incarnation === null ? [] : [`"cqrs_incarnation":${incarnation}`]),
    ...(texts === undefined ? [] : [`"cqrs_texts":${texts}`]),
  ];
  return members.length === 0 ? data : `${data.slice(0, -1)},${members.join(',')}}`;
}
