import type { FilterQuery } from '@mikro-orm/core';
import { checksum } from '../replication/compare/checksum.js';
import { findRows } from '../replication/compare/find-rows.js';
import { type KeyedTable, writeKey } from '../replication/compare/keyed-table.js';
import { quoted } from '../postgres/identifiers.js';
import { InputError } from '../kernel/errors.js';
import { parseMicroseconds } from '../wire/times.js';
import type { WireValue } from '../wire/values.js';
import type { Cqrs } from '../cqrs.js';
import type { SyncResult } from '../replication/master/row-sender.js';
import { type ContentColumn, contentColumns } from '../replication/replica/definition/content-columns.js';
import { REVISION, UPDATED } from '../replication/replica/definition/replica-columns.js';
import type { ReplicaDefinition } from '../replication/replica/definition/replica-definition.js';
import { splitHeader } from './lines.js';
import { MasterRows, type MasterRow } from './master-rows.js';
import { masterTable, parseArray, readKeys, replicaTable } from './keyed-table.js';
import { inSnapshot, keyPages, type Snapshot } from './snapshot.js';
import { readHeader, writeHeader, type StreamHeader } from './stream-header.js';

/**
 * Finds rows that a replica lacks or has in another state, and sends them again, in django-cqrs's streams:
 *
 *   master: diffMaster ──[[key,revision],…]──▶ replica: diffReplica ──[key,…]──▶ master: diffSync ──SYNC──▶ replica
 *
 * Between ends of ours a checksum of the content may stand beside each revision, so that damage shows, too.
 */

export interface DiffMasterResult {
  /** Rows in the stream. */
  readonly listed: number;
  /** Rows left out since they were changed a moment ago: their messages may be on their way. */
  readonly unsettled: number;
}

const MICROSECONDS = 1_000_000;
/** Default of `settleSeconds`. */
export const SETTLE_SECONDS = 5;

/** First of three: the keys and revisions of a master's rows, from one snapshot. @throws UnknownCqrsIdError, InputError */
export async function diffMaster(
  cqrs: Cqrs,
  options: {
    readonly cqrsId: string;
    readonly filter?: FilterQuery<object> | undefined;
    /** Default 1000. */
    readonly pageSize?: number | undefined;
    /** Rows changed less than this many seconds ago are left out; default 5. */
    readonly settleSeconds?: number | undefined;
    /** Adds a checksum of these fields, under their names on the wire, to each pair; `all`: of every field that travels. */
    readonly checksums?: 'all' | readonly string[] | undefined;
    readonly write: (text: string) => Promise<void>;
    readonly onProgress?: (processed: number) => void;
    /** Aborted: ends after the page in hand. */
    readonly signal?: AbortSignal;
  },
): Promise<DiffMasterResult> {
  const { cqrsId, filter, pageSize = 1_000, settleSeconds = SETTLE_SECONDS } = options;
  const fields = checksumFields(cqrs, cqrsId, options.checksums);
  const result = { listed: 0, unsettled: 0 };
  await inSnapshot(cqrs, async (snapshot) => {
    const rows = new MasterRows(cqrs, snapshot, cqrsId);
    // Written with the first rows: a filter that the database refuses leaves no output.
    let header = `${writeHeader(cqrsId, snapshot.takenAt, fields)}\n`;
    const settledAt = snapshot.takenAt - settleSeconds * MICROSECONDS;
    let processed = 0;
    for await (const page of keyPages(snapshot, rows.table, {
      where: filter,
      pageSize,
      columns: [REVISION, UPDATED],
    })) {
      const settled = page.filter(({ values }) => micros(values[1]!) <= settledAt);
      result.unsettled += page.length - settled.length;
      const revisions = new Map(settled.map(({ key, values }) => [JSON.stringify(key), values[0]!]));
      const listed = fields || rows.isSelective ? await rows.find(settled.map(({ key }) => key)) : settled;
      const items: string[] = [];
      for (const row of listed) {
        const pair = `${writeKey(rows.table, row.key)},${revisions.get(JSON.stringify(row.key))!}`;
        items.push(fields ? `[${pair},"${checksum(await (row as MasterRow).content(), fields)}"]` : `[${pair}]`);
      }
      if (items.length > 0) {
        await options.write(`${header}[${items.join(',')}]\n`);
        header = '';
      }
      result.listed += items.length;
      options.onProgress?.((processed += page.length));
      if (options.signal?.aborted) break;
    }
    if (header !== '') await options.write(header);
  });
  return result;
}

function checksumFields(
  cqrs: Cqrs,
  cqrsId: string,
  wanted: 'all' | readonly string[] | undefined,
): readonly string[] | undefined {
  const { announced, serializer } = cqrs.masters.get(cqrsId);
  if (wanted === undefined || wanted === 'all') {
    if (wanted && serializer) {
      throw new InputError(
        `'${cqrsId}' has a serializer, so its fields are not known beforehand.`,
        'Name them: --fields <name>,<name>.',
      );
    }
    return wanted && announced.map(({ wire }) => wire);
  }
  const unknown = serializer ? undefined : wanted.find((field) => !announced.some(({ wire }) => wire === field));
  if (unknown === undefined) return wanted;
  throw new InputError(
    `'${cqrsId}' sends no field '${unknown}'.`,
    `It sends ${announced.map(({ wire }) => wire).join(', ')}.`,
  );
}

export interface DiffReplicaResult {
  readonly compared: number;
  readonly missing: number;
  /** At another revision. */
  readonly stale: number;
  /** At the same revision, with other content. */
  readonly damaged: number;
  /** Left alone since the replica has a later change than the list could know of. */
  readonly ahead: number;
}

/** Second of three: the keys of rows that are different here. @throws InputError, UnknownCqrsIdError */
export async function diffReplica(
  cqrs: Cqrs,
  source: AsyncIterable<Uint8Array>,
  options: {
    /** Rows that this service has received with a later change than the stream's time, less these seconds, are left alone. */
    readonly settleSeconds?: number | undefined;
    readonly write: (text: string) => Promise<void>;
    readonly onProgress?: (processed: number) => void;
    /** Aborted: ends after the line in hand. */
    readonly signal?: AbortSignal;
  },
): Promise<DiffReplicaResult> {
  const { header: first, rest } = await splitHeader(source);
  const header = readHeader(first, cqrs.settings.replica.senderTimezone);
  const table = replicaTable(cqrs, header.cqrsId);
  const content = contentOf(cqrs.replicas.get(header.cqrsId), header);
  const watermark = header.takenAt - (options.settleSeconds ?? SETTLE_SECONDS) * MICROSECONDS;
  const result = { compared: 0, missing: 0, stale: 0, damaged: 0, ahead: 0 };
  await options.write(`${first},${cqrs.settings.queue ?? 'None'}\n`);
  for await (const line of rest) {
    if (options.signal?.aborted) break;
    const text = line.text();
    if (text === '') continue;
    const pairs = parseArray(text, line.number).map((item) => readPair(table, item, line.number));
    // A snapshot for each line: the stream may be slow, and an old snapshot would see every new row as missing.
    const stored = await inSnapshot(cqrs, ({ session }) =>
      findRows(
        session,
        table,
        pairs.map(({ key }) => key),
        [REVISION, UPDATED].map((field) => `t.${field}`).concat(content.map(({ expression }) => expression)),
      ),
    );
    const different = pairs.filter((pair, index) => {
      const kind = compare(pair, stored[index], content, header, watermark);
      if (kind !== 'equal') result[kind]++;
      return kind !== 'equal' && kind !== 'ahead';
    });
    result.compared += pairs.length;
    if (different.length > 0) await options.write(`[${different.map(({ key }) => writeKey(table, key)).join(',')}]\n`);
    options.onProgress?.(result.compared);
  }
  return result;
}

interface Pair {
  readonly key: readonly string[];
  readonly revision: string;
  readonly checksum: string | undefined;
}

function readPair(table: KeyedTable, item: WireValue, line: number): Pair {
  const wrong = (): InputError => new InputError(`line ${line} is no list of [key,revision].`);
  if (!Array.isArray(item) || item.length < 2) throw wrong();
  const [key, revision, sum] = item;
  if (typeof revision !== 'number' && typeof revision !== 'bigint') throw wrong();
  const [parts] = readKeys(table, [key!], line);
  return { key: parts!, revision: String(revision), checksum: typeof sum === 'string' ? sum : undefined };
}

function contentOf(definition: ReplicaDefinition, { checksums, cqrsId }: StreamHeader): ContentColumn[] {
  const fields = checksums ?? [];
  return contentColumns(definition, fields).map((column, index) => {
    if (column) return column;
    const mapped = definition.columns.map(({ wire }) => wire[0]).join(',');
    throw new InputError(
      `the replica of '${cqrsId}' does not have the field '${fields[index]}'.`,
      `Compare what it has: cqrs diff-master --checksums --fields ${mapped}`,
    );
  });
}

function compare(
  pair: Pair,
  stored: readonly (string | null)[] | undefined,
  content: readonly ContentColumn[],
  { checksums }: StreamHeader,
  watermark: number,
): 'equal' | 'missing' | 'stale' | 'damaged' | 'ahead' {
  if (!stored) return 'missing';
  const [revision, updated, ...values] = stored;
  if (revision !== pair.revision) return updated !== null && micros(updated!) > watermark ? 'ahead' : 'stale';
  if (!checksums || pair.checksum === undefined) return 'equal';
  const data = Object.fromEntries(content.map(({ field, read }, index) => [field, read(values[index]!)]));
  return checksum(data, checksums) === pair.checksum ? 'equal' : 'damaged';
}

export interface DiffSyncResult extends Omit<SyncResult, 'lastKey'> {
  /** Keys that were asked for. */
  readonly processed: number;
}

/** Third of three: sends the listed rows, to the replica that asked or to all. @throws InputError, UnknownCqrsIdError */
export async function diffSync(
  cqrs: Cqrs,
  source: AsyncIterable<Uint8Array>,
  options: {
    /** Default: the queue that the stream names. */
    readonly queue?: string | undefined;
    readonly pageSize?: number | undefined;
    readonly onProgress?: (processed: number) => void;
    readonly signal?: AbortSignal;
  },
): Promise<DiffSyncResult> {
  const { header: first, rest } = await splitHeader(source);
  const header = readHeader(first);
  const table = masterTable(cqrs, header.cqrsId);
  const queue = options.queue ?? header.queue;
  if (queue === undefined)
    throw new InputError('line 1 names no queue.', 'Pipe it through diff-replica, or pass --queue.');
  const result = { processed: 0, synced: 0, withdrawn: 0, unroutable: 0, refused: 0 };
  for await (const line of rest) {
    if (options.signal?.aborted) break;
    const text = line.text();
    if (text === '') continue;
    const keys = await printed(cqrs, table, readKeys(table, parseArray(text, line.number), line.number));
    const { signal, pageSize } = options;
    const sent = await cqrs.sync({ cqrsId: header.cqrsId, keys, queue: queue ?? undefined, pageSize, signal });
    result.processed += keys.length;
    result.synced += sent.synced;
    result.withdrawn += sent.withdrawn;
    result.unroutable += sent.unroutable;
    result.refused += sent.refused;
    options.onProgress?.(result.processed);
  }
  return result;
}

// As the database prints them, which is how outbox and locks name a row.
async function printed(cqrs: Cqrs, table: KeyedTable, keys: readonly string[][]): Promise<string[][]> {
  const expressions = table.keyColumns.map(({ field }) => `t.${quoted(field)}`);
  const rows = await inSnapshot(cqrs, ({ session }: Snapshot) => findRows(session, table, keys, expressions));
  return keys.map((key, index) => (rows[index] as string[] | undefined) ?? key);
}

/** PostgreSQL's text of a time → microseconds since 1970. */
function micros(text: string): number {
  return parseMicroseconds(text) ?? 0;
}
