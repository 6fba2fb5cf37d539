import { type EntityManager, type FilterQuery, raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { CompiledQuery } from 'kysely';
import { amongKeys, keyArrays, keyTypes, type TextSession } from '../compare/find-rows.js';
import { despiteConflicts } from '../../postgres/conflicts.js';
import { sqlState, toError } from '../../kernel/describe-error.js';
import { InputError } from '../../kernel/errors.js';
import { quoted } from '../../postgres/identifiers.js';
import { bodyOf, SignalType, type Version } from '../../wire/payload.js';
import { formatMicroseconds } from '../../wire/times.js';
import type { Executor, OutboxEntry } from '../../messaging/outbox/outbox.js';
import type { Turn } from '../../messaging/outbox/drain.js';
import type { Announcer } from './announce/announcer.js';
import { MUTED, REBORN } from './triggers/capture-triggers.js';
import type { BeforeImages } from './capture/before-images.js';
import { CAPTURED } from './capture/captured-statement.js';
import type { MasterDefinition, MasterTable } from './definition/master-table.js';
import type { CapturedDriver, TransactionContext } from './mikro-orm-internals.js';
import { reborn } from './capture/own-columns.js';
import type { Announcement } from './announce/serializer.js';
import type { TransactionLog } from './capture/transaction-log.js';

/** What one page of a SYNC put into the outbox. */
export interface SyncPage {
  /** Rows that go as SYNC. */
  readonly synced: number;
  /** Rows that do not match `isSyncInstance` and go as DELETE. */
  readonly withdrawn: number;
  readonly outboxIds: readonly string[];
  /** Of all bodies. */
  readonly bytes: number;
  /** Of pages in the order of keys: where the next one begins behind. */
  readonly lastKey?: readonly string[] | undefined;
}

/** The keys of a page that are still to be sent. */
interface OpenPage {
  keys: readonly (readonly string[])[];
}

/** A row that a replica has and is not to have, as it was seen there. */
export interface Withdrawal {
  /** As PostgreSQL prints it. */
  readonly key: readonly string[];
  /** The same as it travels. */
  readonly pk: string;
  readonly version: Version;
}

/** The DELETE of such a row, as it was seen. */
export function withdrawalBody(cqrsId: string, { pk, version }: Omit<Withdrawal, 'key'>): string {
  const updated = JSON.stringify(formatMicroseconds(version.updated + 1));
  return bodyOf({
    signalType: SignalType.DELETE,
    cqrsId,
    instanceData: `{"id":${pk},"cqrs_revision":${version.revision},"cqrs_updated":${updated}}`,
    previousData: 'null',
    instancePk: pk,
    correlationId: 'null',
    meta: '{}',
    incarnation: version.incarnation,
  });
}

/** Is told of a row, by its key, that could not be sent. */
export type SyncFailure = (key: readonly string[], error: Error) => void;

/**
 * Repeats the present state of chosen rows. Rows are read FOR SHARE in the order of their keys and appended in the same
 * transaction, so that no later change of theirs can overtake them on its way to the outbox. With `newIncarnation` they
 * are locked FOR UPDATE in the same order and begin a new incarnation there, which is later than any state a replica can have.
 *
 * Pages never wait for a row while they hold others: a transaction of the application that writes rows in another order
 * would wait for them, and PostgreSQL would take one of the two back.
 *
 *   all rows of the page that nobody holds ─▶ the first of the others alone, for which it waits ─▶ those that are left …
 */
export class MasterSync {
  /** Of those that were looked up. */
  readonly #keyTypes = new Map<MasterTable, readonly string[]>();

  constructor(
    private readonly em: EntityManager,
    private readonly announcer: Announcer,
    private readonly log: TransactionLog,
  ) {}

  /**
   * Page by page, in short transactions of their own, every row that matches `where` (MikroORM's query syntax), or the
   * rows with the given `keys` (each part as PostgreSQL prints it). The former begin behind the key `after`. A row whose own code fails is left out and told, if
   * there is somebody to tell.
   */
  async *pages(
    definition: MasterDefinition,
    {
      where = {},
      keys,
      after,
      queue,
      pageSize,
      newIncarnation = false,
      turn,
      onFailure,
    }: {
      where?: FilterQuery<object>;
      keys?: readonly (readonly string[])[];
      after?: readonly string[];
      queue: string | null;
      pageSize: number;
      newIncarnation?: boolean;
      turn: Turn;
      onFailure?: SyncFailure;
    },
  ): AsyncGenerator<SyncPage> {
    const pages = keys ? inPages(keys, pageSize) : this.#keyPages(definition, where, pageSize, after);
    const send = async function* (this: MasterSync, page: OpenPage): AsyncGenerator<SyncPage> {
      const lastKey = keys ? undefined : page.keys.at(-1);
      for await (const sent of this.#parts(definition, page, { queue, newIncarnation })) {
        yield page.keys.length === 0 ? { ...sent, lastKey } : sent;
      }
    }.bind(this);
    if (after) await this.#checkKey(definition, after);
    for await (const page of pages) {
      if (!(await turn())) return;
      const open: OpenPage = { keys: page };
      try {
        yield* send(open);
      } catch (error) {
        if (!onFailure || sqlState(error) !== undefined) throw error;
        yield* this.#oneByOne(open.keys, send, onFailure);
      }
    }
  }

  async *#oneByOne(
    page: readonly (readonly string[])[],
    send: (page: OpenPage) => AsyncGenerator<SyncPage>,
    onFailure: SyncFailure,
  ): AsyncGenerator<SyncPage> {
    const failed: [readonly string[], Error][] = [];
    for (const key of page) {
      try {
        yield* send({ keys: [key] });
      } catch (error) {
        failed.push([key, toError(error)]);
        // Nothing works, not even row by row: it is not the rows.
        if (failed.length === page.length && page.length > 1) throw error;
      }
    }
    for (const [key, error] of failed) onFailure(key, error);
  }

  /** Sends a page, a transaction for each part of it. */
  async *#parts(
    definition: MasterDefinition,
    page: OpenPage,
    options: { queue: string | null; newIncarnation: boolean },
  ): AsyncGenerator<SyncPage> {
    for (let waits = false; page.keys.length > 0; waits = !waits) {
      const part = waits ? page.keys.slice(0, 1) : page.keys;
      const { sent, held } = await despiteConflicts(() =>
        this.#connection().transactional(async (transaction) => {
          const images = await this.#lockRows(transaction, definition, part, { ...options, waits });
          const others =
            images.size < part.length && !waits ? await this.#held(transaction, definition, part, images) : [];
          return { sent: await this.#announce(transaction, definition, images, options.queue), held: others };
        }),
      );
      page.keys = waits ? page.keys.slice(1) : held;
      yield sent;
    }
  }

  /** Of these keys, as PostgreSQL prints them, those whose rows are there and were not locked: somebody else holds them. */
  async #held(
    transaction: TransactionContext,
    { table, meta }: MasterDefinition,
    keys: readonly (readonly string[])[],
    locked: BeforeImages,
  ): Promise<string[][]> {
    const types = this.#keyTypes.get(table)!;
    const fields = table.keyColumns.map(({ field }, index) => `${quoted(field)}::text as "v${index}"`);
    const rows = await sessionOf(transaction).run({
      text: `select ${fields.join(', ')} from ${this.#driver().getTableName(meta, {})} where ${amongKeys(table, types)}
        order by ${table.keyColumns.map(({ field }) => quoted(field)).join(', ')}`,
      parameters: keyArrays(keys, types),
    });
    const had = new Set([...locked.values()].map((image) => JSON.stringify(table.keyValues(image))));
    return rows
      .map((row) => fields.map((_, index) => row[`v${index}`]!))
      .filter((key) => !had.has(JSON.stringify(key)));
  }

  /** Puts the rows with these keys into the outbox, in the given transaction. Rows that are gone are left out. */
  async append(
    transaction: TransactionContext,
    definition: MasterDefinition,
    keys: readonly (readonly string[])[],
    { queue }: { queue: string | null },
  ): Promise<SyncPage> {
    const images = await this.#lockRows(transaction, definition, keys, { newIncarnation: false, waits: true });
    return this.#announce(transaction, definition, images, queue);
  }

  async #announce(
    transaction: TransactionContext,
    definition: MasterDefinition,
    images: BeforeImages,
    queue: string | null,
  ): Promise<SyncPage> {
    const { table } = definition;
    const announcements = [...images.values()].map((row): Announcement => {
      const own = table.definitionOf(row) ?? definition;
      const signalType = this.announcer.matches(transaction, own, row) ? SignalType.SYNC : SignalType.DELETE;
      return { definition: own, signalType, row, created: false, revisionStep: 0, queue };
    });
    const { ids, bytes, committed } = await this.announcer.write(transaction, announcements);
    this.log.afterCommit(transaction, committed);
    const synced = announcements.filter(({ signalType }) => signalType === SignalType.SYNC).length;
    return { synced, withdrawn: announcements.length - synced, outboxIds: ids, bytes };
  }

  async #lockRows(
    transaction: TransactionContext,
    { table, meta }: MasterDefinition,
    keys: readonly (readonly string[])[],
    { newIncarnation, waits }: { newIncarnation: boolean; waits: boolean },
  ): Promise<BeforeImages> {
    if (keys.length === 0) return new Map();
    const session = sessionOf(transaction);
    const name = this.#driver().getTableName(meta, {});
    const { keyColumns } = table;
    const types = this.#keyTypes.get(table) ?? (await keyTypes(session, { name, keyColumns }));
    this.#keyTypes.set(table, types);
    const read = async (text: string, parameters: string[][]): Promise<BeforeImages> => {
      const rows = await session.run({ text: `${text} ${CAPTURED}`, parameters });
      return new Map(rows.map((row) => table.takeImage(row)).map((image) => [table.keyOf(image), image]));
    };
    const fields = keyColumns.map(({ field }) => quoted(field)).join(', ');
    const among = amongKeys(table, types);
    const images = await read(
      `select ${table.returning} from ${name} where ${among} order by ${fields}
        for ${newIncarnation ? 'update' : 'share'}${waits ? '' : ' skip locked'}`,
      keyArrays(keys, types),
    );
    if (!newIncarnation || images.size === 0) return images;
    // Triggers leave alone what is begun here, and note nothing: it is sent from here.
    if (table.capture === 'trigger') await session.run({ text: OWN_UPDATE, parameters: [] });
    // An UPDATE alone would lock in no order of its own, and two of them could wait for each other.
    return read(
      `update ${name} set ${reborn(table)} where ${among} returning ${table.returning}`,
      keyArrays(
        [...images.values()].map((image) => table.keyValues(image)),
        types,
      ),
    );
  }

  /**
   * Sends one replica a DELETE for each of these rows. It is later than the state that was seen there by as little as can
   * be, so that whatever the master says of the key since then, a new incarnation above all, is later still.
   */
  async withdraw(definition: MasterDefinition, withdrawals: readonly Withdrawal[], queue: string): Promise<SyncPage> {
    const { cqrsId } = definition;
    const entries = withdrawals.map(({ key, pk, version }): OutboxEntry => {
      const body = withdrawalBody(cqrsId, { pk, version });
      return { cqrsId, signalType: SignalType.DELETE, key: JSON.stringify(key), queue, body };
    });
    return despiteConflicts(() =>
      this.#connection().transactional(async (transaction) => {
        const { ids, bytes, committed } = await this.announcer.writeEntries(transaction, entries);
        this.log.afterCommit(transaction, committed);
        return { synced: 0, withdrawn: entries.length, outboxIds: ids, bytes };
      }),
    );
  }

  async *#keyPages(
    definition: MasterDefinition,
    where: FilterQuery<object>,
    pageSize: number,
    start: readonly string[] | undefined,
  ): AsyncGenerator<readonly string[][]> {
    for (let after = start; ;) {
      const keys = await this.#readKeys(definition, where, after, pageSize);
      if (keys.length > 0) yield keys;
      if (keys.length < pageSize) return;
      after = keys.at(-1);
    }
  }

  async #checkKey({ table, meta, cqrsId }: MasterDefinition, key: readonly string[]): Promise<void> {
    const columns = table.keyColumns;
    const names = columns.map(({ field, type }) => `${field} ${type}`).join(', ');
    const wrong = (cause?: unknown): InputError =>
      new InputError(`${JSON.stringify(key)} is no key of ${cqrsId}, whose key is (${names}).`, '', { cause });
    if (key.length !== columns.length) throw wrong();
    const fields = columns.map(({ field }) => quoted(field)).join(', ');
    const from = this.#driver().getTableName(meta, {});
    const sql = `select from ${from} where (${fields}) > (${columns.map(() => '?').join(', ')}) limit 0`;
    try {
      await this.#connection().execute(sql, key);
    } catch (error) {
      throw sqlState(error)?.startsWith('22') ? wrong(error) : error;
    }
  }

  async #readKeys(
    definition: MasterDefinition,
    where: FilterQuery<object>,
    after: readonly string[] | undefined,
    limit: number,
  ): Promise<string[][]> {
    const { table, meta } = definition;
    const em = this.em.fork() as SqlEntityManager;
    const builder = em.createQueryBuilder(meta.class as never, undefined, 'write');
    const own = (field: string): string => `${quoted(builder.alias)}.${quoted(field)}`;
    const fields = table.keyColumns.map((column) => own(column.field));
    builder
      .select(fields.map((field, index) => raw(`${field}::text as "cqrs:${index}"`)) as never)
      .where(where as never);
    if (after)
      builder.andWhere(raw(`(${fields.join(', ')}) > (${fields.map(() => '?').join(', ')})`, [...after]) as never);
    builder.orderBy(Object.fromEntries(meta.primaryKeys.map((key) => [key, 'asc'])) as never).limit(limit);
    const rows = (await builder.execute('all', { mapResults: false } as never)) as Record<string, string>[];
    return rows.map((row) => fields.map((_, index) => row[`cqrs:${index}`]!));
  }

  #driver(): CapturedDriver {
    return this.em.getDriver() as unknown as CapturedDriver;
  }

  #connection(): ReturnType<CapturedDriver['getConnection']> {
    return this.#driver().getConnection('write');
  }
}

/** For the rest of a transaction of ours. */
const OWN_UPDATE = `select set_config('${MUTED}', '1', true), set_config('${REBORN}', '1', true)`;

/** Bound, which what MikroORM executes is not. */
function sessionOf(transaction: TransactionContext): TextSession {
  return {
    async run({ text, parameters }) {
      const { rows } = await (transaction as unknown as Executor).executeQuery(
        CompiledQuery.raw(text, [...parameters]),
      );
      return rows as Record<string, string | null>[];
    },
  };
}

function* inPages<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
