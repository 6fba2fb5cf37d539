import type { FilterQuery } from '@mikro-orm/core';
import { findRows } from '../replication/compare/find-rows.js';
import { writeKey } from '../replication/compare/keyed-table.js';
import { despiteConflicts, isConflict } from '../postgres/conflicts.js';
import { describeError } from '../kernel/describe-error.js';
import { quoted } from '../postgres/identifiers.js';
import { SignalType, TransportPayload } from '../wire/payload.js';
import { formatMicroseconds, parseMicroseconds } from '../wire/times.js';
import { parseJson, type WireObject } from '../wire/values.js';
import type { Cqrs } from '../cqrs.js';
import { faultOf } from '../messaging/inbox/faults.js';
import type { Outcome, Received } from '../messaging/inbox/handler.js';
import { INCARNATION, REVISION, UPDATED } from '../replication/replica/definition/replica-columns.js';
import { toldIncarnation } from '../replication/replica/rules/stored-version.js';
import { masterTable, parseArray, readKeys, replicaTable } from './keyed-table.js';
import { splitHeader } from './lines.js';
import { MasterRows } from './master-rows.js';
import { inSnapshot, keyPages } from './snapshot.js';
import { readHeader, writeHeader } from './stream-header.js';

/**
 * Finds rows that a replica has and its master has not, and deletes them, in django-cqrs's streams:
 *
 *   replica: deletedDiffReplica ──[key,…]──▶ master: deletedDiffMaster ──[key,…]──▶ replica: deletedSyncReplica
 */

/** First of three: the keys of a replica's rows, from one snapshot. @throws UnknownCqrsIdError, InputError */
export async function deletedDiffReplica(
  cqrs: Cqrs,
  options: {
    readonly cqrsId: string;
    /** MikroORM's query syntax, over the replica. */
    readonly filter?: FilterQuery<object> | undefined;
    /** Default 1000. */
    readonly pageSize?: number | undefined;
    readonly write: (text: string) => Promise<void>;
    readonly onProgress?: (processed: number) => void;
    /** Aborted: ends after the page in hand. */
    readonly signal?: AbortSignal;
  },
): Promise<{ readonly listed: number }> {
  const table = replicaTable(cqrs, options.cqrsId);
  let listed = 0;
  await inSnapshot(cqrs, async (snapshot) => {
    // Written with the first rows: a filter that the database refuses leaves no output.
    let header = `${writeHeader(options.cqrsId, snapshot.takenAt)}\n`;
    for await (const page of keyPages(snapshot, table, {
      where: options.filter,
      pageSize: options.pageSize ?? 1_000,
    })) {
      await options.write(`${header}[${page.map(({ key }) => writeKey(table, key)).join(',')}]\n`);
      header = '';
      options.onProgress?.((listed += page.length));
      if (options.signal?.aborted) break;
    }
    if (header !== '') await options.write(header);
  });
  return { listed };
}

/** Second of three: those keys that have no row on the master, or none that replicas are to have. @throws InputError, UnknownCqrsIdError */
export async function deletedDiffMaster(
  cqrs: Cqrs,
  source: AsyncIterable<Uint8Array>,
  options: {
    readonly write: (text: string) => Promise<void>;
    readonly onProgress?: (processed: number) => void;
    /** Aborted: ends after the line in hand. */
    readonly signal?: AbortSignal;
  },
): Promise<{ readonly compared: number; readonly deleted: number }> {
  const { header: first, rest } = await splitHeader(source);
  const { cqrsId } = readHeader(first);
  const table = masterTable(cqrs, cqrsId);
  const expressions = table.keyColumns.map(({ field }) => `t.${quoted(field)}`);
  const result = { compared: 0, deleted: 0 };
  await options.write(`${first}\n`);
  for await (const line of rest) {
    if (options.signal?.aborted) break;
    const text = line.text();
    if (text === '') continue;
    const keys = readKeys(table, parseArray(text, line.number), line.number);
    // Later than the replica's: a row that it has got from us since then is there.
    const deleted = await inSnapshot(cqrs, async (snapshot) => {
      const stored = (await findRows(snapshot.session, table, keys, expressions)) as (string[] | undefined)[];
      const rows = new MasterRows(cqrs, snapshot, cqrsId);
      if (!rows.isSelective) return keys.filter((_, index) => !stored[index]);
      const wanted = await rows.find(stored.filter((key) => key !== undefined));
      const there = new Set(wanted.map(({ key }) => JSON.stringify(key)));
      return keys.filter((_, index) => !stored[index] || !there.has(JSON.stringify(stored[index])));
    });
    result.compared += keys.length;
    result.deleted += deleted.length;
    if (deleted.length > 0) await options.write(`[${deleted.map((key) => writeKey(table, key)).join(',')}]\n`);
    options.onProgress?.(result.compared);
  }
  return result;
}

export interface DeletedSyncResult {
  readonly processed: number;
  readonly deleted: number;
  /** Keys without a row here: deleted meanwhile, or never there. */
  readonly gone: number;
  /** Rows left alone since they were changed after the list was begun: their key may have a new incarnation. */
  readonly kept: number;
  readonly failed: number;
}

/**
 * Third of three: deletes the listed rows as a DELETE of their master would: through `cqrsDelete`, with a tombstone, and
 * not if a newer state has come meanwhile. @throws InputError, UnknownCqrsIdError
 */
export async function deletedSyncReplica(
  cqrs: Cqrs,
  source: AsyncIterable<Uint8Array>,
  options: {
    readonly onFailure?: (key: string, reason: string) => void;
    readonly onProgress?: (processed: number) => void;
    readonly signal?: AbortSignal;
  } = {},
): Promise<DeletedSyncResult> {
  const { header: first, rest } = await splitHeader(source);
  const { cqrsId, takenAt } = readHeader(first);
  const table = replicaTable(cqrs, cqrsId);
  // `takenAt` is by the clock of this service's database, the times of rows are by that of the master's.
  const watermark = takenAt - cqrs.settings.replica.clockSkewToleranceSeconds * 1_000_000;
  const result = { processed: 0, deleted: 0, gone: 0, kept: 0, failed: 0 };
  for await (const line of rest) {
    if (options.signal?.aborted) break;
    const text = line.text();
    if (text === '') continue;
    const keys = readKeys(table, parseArray(text, line.number), line.number);
    const stored = await inSnapshot(cqrs, ({ session }) =>
      findRows(
        session,
        table,
        keys,
        [REVISION, UPDATED, INCARNATION].map((field) => `t.${field}`),
      ),
    );
    const doomed: { key: string; received: Received }[] = [];
    for (const [index, version] of stored.entries()) {
      if (!version) result.gone++;
      else if ((parseMicroseconds(version[1]) ?? 0) > watermark) result.kept++;
      else {
        const key = writeKey(table, keys[index]!);
        doomed.push({ key, received: deletion(cqrsId, key, version) });
      }
    }
    for (const [index, outcome] of (
      await applyAll(
        cqrs,
        doomed.map(({ received }) => received),
      )
    ).entries()) {
      if (outcome.kind === 'applied') result.deleted++;
      else if (outcome.kind === 'skipped') result.kept++;
      else {
        result.failed++;
        options.onFailure?.(
          doomed[index]!.key,
          outcome.error ? describeError(outcome.error) : (outcome.reason ?? outcome.kind),
        );
      }
    }
    result.processed += keys.length;
    options.onProgress?.(result.processed);
  }
  return result;
}

/** The DELETE that the master owes for a row in this state. */
function deletion(cqrsId: string, key: string, [revision, updated, incarnation]: readonly (string | null)[]): Received {
  const id = parseJson(key);
  const data: WireObject = {
    id,
    cqrs_revision: Number(revision) + 1,
    cqrs_updated: formatMicroseconds((parseMicroseconds(updated) ?? 0) + 1),
  };
  const payload = new TransportPayload({
    signalType: SignalType.DELETE,
    cqrsId,
    instanceData: data,
    instancePk: id,
    incarnation: incarnation === null || incarnation === undefined ? null : toldIncarnation(Number(incarnation)),
  });
  return { payload, committedAt: null, direct: true, expired: false };
}

/** One outcome a message; a batch that fails is halved until the one to blame stands alone. */
async function applyAll(cqrs: Cqrs, batch: readonly Received[]): Promise<readonly Outcome[]> {
  if (batch.length === 0) return [];
  try {
    return await despiteConflicts(() => cqrs.replicaRuntime.handle(batch, { anyAge: true }));
  } catch (error) {
    if (faultOf(error) === 'unavailable' || isConflict(error)) throw error;
    if (batch.length === 1)
      return [{ kind: 'failed', error: error instanceof Error ? error : new Error(describeError(error)) }];
    const middle = Math.ceil(batch.length / 2);
    return [...(await applyAll(cqrs, batch.slice(0, middle))), ...(await applyAll(cqrs, batch.slice(middle)))];
  }
}
