import { raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import type * as z from 'zod';
import { findRows } from '../../replication/compare/find-rows.js';
import { describeError } from '../../kernel/describe-error.js';

import { ApiProblem } from '../http/api-problem.js';
import type { AdminParts, Handle } from '../http/call.js';
import type { Matching, SyncRequest } from '../contract.js';
import type { JobHandle } from './job-runner.js';
import { begunJob } from './job-view.js';
import type { AdjustSyncQuery, SyncQuery } from '../../kernel/settings.js';
import type { AdminUser } from '../options.js';
import { readSession } from '../http/read-session.js';
import { conditionsOf } from '../rows/row-conditions.js';
import { readKeyText, writeKeyText } from '../rows/row-key.js';
import { assertBrowsable } from '../rows/rows.js';
import type { BrowsableTable } from '../rows/tables.js';

/**
 * Synchronize selected:
 *
 *   chosen keys, or pages of all that match ─▶ adjustSyncQuery ─▶ cqrs.sync ─▶ counts, and every row that did not go
 */

type Request = z.output<typeof SyncRequest>;
type Key = readonly string[];

/** So many keys are looked up, adjusted and sent at a time. */
const PAGE = 2_000;
const LOOKING_MS = 15_000;
const PAGING_MS = 120_000;

export const syncRows: Handle<'sync'> = async (parts, { params, body, user, request }) =>
  begunJob(parts, await startSync(parts, { cqrsId: params['cqrsId']!, wanted: body, user, request }));

/** Notes and begins the job. @throws ApiProblem when what is asked for cannot be. */
export async function startSync(
  parts: AdminParts,
  { cqrsId, wanted, user, request }: { cqrsId: string; wanted: Request; user: AdminUser; request: globalThis.Request },
): Promise<{ id: string; ended: Promise<void> }> {
  const table = await parts.tables.master(cqrsId);
  assertBrowsable(table);
  const { queue, selection } = wanted;
  const adjust = parts.options.adjustSyncQuery[cqrsId];
  const chosen = 'keys' in selection ? await lookUp(parts, table, selection.keys) : undefined;
  if ('query' in selection) conditionsOf(table, selection.query); // what is wrong with it is told now
  const where = queue === null ? 'all replicas' : `queue ${queue}`;
  const what = chosen ? `${chosen.found.length + chosen.missing.length} chosen rows` : 'all rows that match';
  return parts.jobs.start(
    {
      kind: 'sync',
      title: `Synchronize ${what} of ${cqrsId} to ${where}`,
      cqrsId,
      queue,
      by: user.user,
      request: wanted,
    },
    async (job) => {
      const sync = new SyncJob(parts, job, { cqrsId, queue, table, adjust, request });
      return chosen
        ? sync.chosen(chosen.found, chosen.missing)
        : sync.matching((selection as { query: Matching }).query);
    },
  );
}

async function lookUp(
  { cqrs }: AdminParts,
  table: BrowsableTable,
  texts: readonly string[],
): Promise<{ found: Key[]; missing: string[] }> {
  const unique = [...new Set(texts)];
  const keys = unique.map((text) => readKeyText(text, table.keyColumns.length));
  const printed = await readSession(cqrs, LOOKING_MS, ({ session }) =>
    findRows(
      session,
      table,
      keys,
      table.keyColumns.map(({ field }) => `t."${field}"`),
    ),
  );
  return {
    found: printed.filter((key) => key !== undefined) as Key[],
    missing: unique.filter((_, index) => printed[index] === undefined),
  };
}

class SyncJob {
  #unrouted = 0;

  constructor(
    private readonly parts: AdminParts,
    private readonly job: JobHandle,
    private readonly what: {
      readonly cqrsId: string;
      readonly queue: string | null;
      readonly table: BrowsableTable;
      readonly adjust: AdjustSyncQuery | undefined;
      readonly request: globalThis.Request;
    },
  ) {}

  async chosen(found: readonly Key[], missing: readonly string[]): Promise<string | undefined> {
    this.job.total = found.length + missing.length;
    for (const key of missing) this.#leftOut('missing', key, 'there is no such row');
    return this.#sendAll(pagesOf(found));
  }

  async matching(query: Matching): Promise<string | undefined> {
    const { table } = this.what;
    this.job.total = await this.#count(query);
    const pages = async function* (this: SyncJob): AsyncGenerator<readonly Key[]> {
      for (let after: Key | undefined; ;) {
        const page = await this.#readKeys(table, query, after);
        if (page.length > 0) yield page;
        if (page.length < PAGE) return;
        after = page.at(-1);
      }
    };
    return this.#sendAll(pages.call(this));
  }

  async #sendAll(pages: AsyncIterable<readonly Key[]> | Iterable<readonly Key[]>): Promise<string | undefined> {
    const { cqrsId, queue } = this.what;
    const off = this.parts.cqrs.events.on('cqrs.relay.unroutable', (message) => {
      if (message.cqrsId === cqrsId && message.queue === null && message.signalType !== 'SAVE') this.#unrouted++;
    });
    try {
      for await (const page of pages) {
        if (this.job.signal.aborted) return undefined;
        await this.#send(await this.#adjusted(page));
        // If the first ones find no queue, the others would not either.
        if (queue !== null && (this.job.counts['unroutable'] ?? 0) > 0) {
          return `There is no queue '${queue}' that takes messages of '${cqrsId}'. Look for a slip in its name; a queue is there once its replica has started.`;
        }
      }
    } finally {
      off();
    }
    this.job.add('unroutable', this.#unrouted);
    const sent = this.job.counts['sent'] ?? 0;
    if (sent > 0 && this.#unrouted >= sent) {
      return `No queue takes messages of '${cqrsId}': no replica of it has started yet. A replica that starts later needs them again.`;
    }
    const refused = this.job.counts['refused'] ?? 0;
    if (refused > 0) return `The broker refuses ${refused} of the messages. See Outbox for why.`;
    const failed = this.job.counts['failed'] ?? 0;
    return failed > 0 ? `${failed} ${failed === 1 ? 'row' : 'rows'} could not be sent.` : undefined;
  }

  async #send(keys: readonly Key[]): Promise<void> {
    const { job } = this;
    const { cqrsId, queue } = this.what;
    const before = job.done;
    let failed = 0;
    const { synced, withdrawn, unroutable, refused } = await this.parts.cqrs.sync({
      cqrsId,
      keys,
      queue: queue ?? undefined,
      signal: job.signal,
      pageSize: 500,
      onProgress: (now) => (job.done = before + now.synced + now.withdrawn + failed),
      onFailure: (key, error) => {
        failed++;
        this.#leftOut('failed', writeKeyText(key), describeError(error));
      },
    });
    job.add('sent', Math.max(0, synced - unroutable - refused));
    job.add('withdrawn', withdrawn);
    job.add('unroutable', unroutable);
    job.add('refused', refused);
    if (!job.signal.aborted) {
      job.add('missing', keys.length - synced - withdrawn - failed); // deleted meanwhile
      job.done = before + keys.length;
    }
  }

  /** Those that `adjustSyncQuery` lets pass. */
  async #adjusted(keys: readonly Key[]): Promise<readonly Key[]> {
    const { adjust, table, request } = this.what;
    if (!adjust) return keys;
    const em = this.parts.cqrs.orm.em.fork() as SqlEntityManager;
    const builder = em.createQueryBuilder(table.meta.class as never, undefined, 'write');
    const fields = table.keyColumns.map(({ field }) => `"${builder.alias}"."${field}"`);
    const tuple = `(${fields.map(() => '?').join(', ')})`;
    builder.select(fields.map((field, index) => raw(`${field}::text as "cqrs:${index}"`)) as never);
    builder.where(raw(`(${fields.join(', ')}) in (${keys.map(() => tuple).join(', ')})`, keys.flat()) as never);
    await adjust(builder as unknown as SyncQuery, request);
    const rows = (await builder.execute('all', { mapResults: false } as never)) as Record<string, string>[];
    const kept = new Set(rows.map((row) => writeKeyText(fields.map((_, index) => row[`cqrs:${index}`]!))));
    for (const key of keys) {
      if (!kept.has(writeKeyText(key))) this.#leftOut('leftOut', writeKeyText(key), 'adjustSyncQuery leaves it out');
    }
    return keys.filter((key) => kept.has(writeKeyText(key)));
  }

  async #readKeys(table: BrowsableTable, query: Matching, after: Key | undefined): Promise<Key[]> {
    const conditions = conditionsOf(table, query);
    const keys = table.keyColumns.map(({ field }) => `t."${field}"`);
    if (after) conditions.add(`(${keys.join(', ')}) > (${after.map((part) => conditions.bind(part)).join(', ')})`);
    return readSession(this.parts.cqrs, PAGING_MS, async ({ session }) => {
      const rows = await session.run({
        text: `select ${keys.map((key, index) => `${key}::text as "k${index}"`).join(', ')} from ${table.name} t
          where ${conditions.text} order by ${keys.join(', ')} limit ${PAGE}`,
        parameters: conditions.parameters,
      });
      return rows.map((row) => keys.map((_, index) => row[`k${index}`]!));
    });
  }

  async #count(query: Matching): Promise<number | null> {
    const { table } = this.what;
    const conditions = conditionsOf(table, query);
    try {
      return await readSession(this.parts.cqrs, LOOKING_MS, async ({ session }) => {
        const [row] = await session.run({
          text: `select count(*)::text as count from ${table.name} t where ${conditions.text}`,
          parameters: conditions.parameters,
        });
        return Number(row!['count']);
      });
    } catch (error) {
      if (error instanceof ApiProblem && error.code === 'timeout') return null;
      throw error;
    }
  }

  #leftOut(count: string, key: string, reason: string): void {
    this.job.add(count);
    this.job.done++;
    this.job.note({ key, ok: false, reason });
  }
}

function* pagesOf(keys: readonly Key[]): Generator<readonly Key[]> {
  for (let start = 0; start < keys.length; start += PAGE) yield keys.slice(start, start + PAGE);
}
