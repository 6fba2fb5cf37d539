import { setImmediate } from 'node:timers/promises';
import type { MikroORM } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import type { Events } from '../../../kernel/events.js';
import { SignalType } from '../../../wire/payload.js';
import { withCommit } from '../../../postgres/round-trips.js';
import type { Settings } from '../../../kernel/settings.js';
import { append, appendForIds, appendText, type Executor, type OutboxEntry } from '../../../messaging/outbox/outbox.js';
import type { CapturedChangeOfRow } from '../triggers/captured-images.js';
import { forkInside, hydrate, populate } from '../definition/hydrate.js';
import {
  type MasterDefinition,
  needsEntity,
  INCARNATION,
  REVISION,
  type RowImage,
  UPDATED,
} from '../definition/master-table.js';
import type { PendingChange } from '../capture/pending-changes.js';
import { type Announcement, toOutboxEntry } from './serializer.js';
import type { TransactionContext } from '../mikro-orm-internals.js';

/** So many messages may share one statement with the COMMIT. */
const FEW = 100;
const CHUNK = 1_000;

/** What was put into the outbox. */
export interface Written {
  /** Of the outbox rows, in no particular order. */
  readonly ids: readonly string[];
  /** Of all bodies. */
  readonly bytes: number;
  /** To be called after COMMIT. */
  readonly committed: () => void;
}

const NOTHING_WRITTEN: Written = { ids: [], bytes: 0, committed: () => {} };

/** Turns the changes of a transaction into messages and appends them, inside that transaction. */
export class Announcer {
  constructor(
    private readonly parts: {
      readonly orm: MikroORM;
      readonly settings: Settings;
      readonly events: Events;
      readonly outboxTable: () => string;
      /** What a transaction says of itself, as JSON. */
      readonly contextOf: (transaction: TransactionContext) => string | null;
      /** Called after COMMIT, when something waits in the outbox. */
      readonly onCommitted: () => void;
    },
  ) {}

  /**
   * @param options.commitFollows nothing but the COMMIT comes after this in the transaction.
   * @returns what is to be done after COMMIT.
   */
  async announce(
    transaction: TransactionContext,
    changes: readonly PendingChange[],
    { commitFollows = false }: { commitFollows?: boolean } = {},
  ): Promise<() => void> {
    const announcements = this.decideAll(transaction, changes);
    this.#tellOfUnknownKinds(changes);
    if (announcements.length === 0) return () => {};
    const table = this.parts.outboxTable();
    if (commitFollows && announcements.length <= FEW) {
      const entries = await this.#serialize(transaction, announcements);
      const text = appendText(table, entries);
      if (text === undefined) await append(transaction as unknown as Executor, table, entries);
      else await (transaction as unknown as Executor).executeQuery(CompiledQuery.raw(withCommit(text)));
    } else {
      await this.#appendInChunks(transaction, announcements);
    }
    return () => this.#committed(announcements.map(({ definition }) => definition));
  }

  /** Appends ready-made announcements, e.g. those of a SYNC. */
  async write(transaction: TransactionContext, announcements: readonly Announcement[]): Promise<Written> {
    if (announcements.length === 0) return NOTHING_WRITTEN;
    return this.writeEntries(transaction, await this.#serialize(transaction, announcements));
  }

  /** Appends finished messages. */
  async writeEntries(transaction: TransactionContext, entries: readonly OutboxEntry[]): Promise<Written> {
    if (entries.length === 0) return NOTHING_WRITTEN;
    const ids = await appendForIds(transaction as unknown as Executor, this.parts.outboxTable(), entries);
    const bytes = entries.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
    return { ids, bytes, committed: () => this.#committed(entries) };
  }

  /**
   * The messages of changes that triggers have captured.
   * @param definitionFor by which definition the messages of a change are made.
   */
  async entriesOf(
    transaction: TransactionContext,
    changes: readonly CapturedChangeOfRow[],
    definitionFor: (change: PendingChange) => (definition: MasterDefinition) => MasterDefinition,
  ): Promise<OutboxEntry[]> {
    this.#tellOfUnknownKinds(changes);
    const entries: OutboxEntry[] = [];
    for (const part of withoutRepeatedKeys(changes)) {
      const announcements: Announcement[] = [];
      const times: string[] = [];
      for (const change of part) {
        const by = definitionFor(change);
        for (const announcement of this.decideAll(transaction, [change])) {
          const { context } = change;
          announcements.push({ ...announcement, definition: by(announcement.definition), context });
          times.push(change.createdAt);
        }
      }
      const made = await this.#serialize(transaction, announcements);
      entries.push(...made.map((entry, index) => ({ ...entry, createdAt: times[index] })));
    }
    return entries;
  }

  /** Says that these messages are committed. */
  tell(entries: readonly OutboxEntry[]): void {
    if (entries.length > 0) this.#committed(entries);
  }

  /** Whether a row passes `isSyncInstance` of its master. */
  matches(transaction: TransactionContext, definition: MasterDefinition, row: RowImage): boolean {
    const filter = definition.hooks.isSyncInstance;
    // A fork each: the row before and the row after a change have the same key.
    return !filter || filter(hydrate(forkInside(this.parts.orm, transaction), definition, row));
  }

  /** While the database stores one chunk the next one is made. */
  async #appendInChunks(transaction: TransactionContext, announcements: readonly Announcement[]): Promise<void> {
    let storing: Promise<void> = Promise.resolve();
    for (let start = 0; start < announcements.length; start += CHUNK) {
      const entries = await this.#serialize(transaction, announcements.slice(start, start + CHUNK));
      await storing;
      storing = append(transaction as unknown as Executor, this.parts.outboxTable(), entries);
      storing.catch(() => {}); // told by the await that follows
      await setImmediate(); // let it leave before the next one takes the thread
    }
    await storing;
  }

  #committed(entries: readonly Pick<OutboxEntry, 'cqrsId'>[]): void {
    const counts: Record<string, number> = {};
    for (const { cqrsId } of entries) counts[cqrsId] = (counts[cqrsId] ?? 0) + 1;
    this.parts.events.emit('cqrs.master.announced', {
      count: entries.length,
      cqrsIds: Object.keys(counts),
      counts,
    });
    this.parts.onCommitted();
  }

  /** What these changes mean to replicas; masters that produce nothing, and rows that are filtered, are left out. */
  decideAll(transaction: TransactionContext, changes: readonly PendingChange[]): Announcement[] {
    return changes.flatMap((change) => {
      const { table, formerKind } = change;
      const now = (change.current ?? change.deleted)!;
      const definition = table.definitionOf(now);
      const former = formerKind && table.definitionOf(formerKind);
      const left = former && former !== definition ? this.#leave(transaction, former, change) : [];
      // What belonged to another master begins here with this transaction.
      const here = left && former && former !== definition ? { ...change, existedBefore: false } : change;
      return [...left, ...this.#decideOne(transaction, definition, here)];
    });
  }

  #tellOfUnknownKinds(changes: readonly PendingChange[]): void {
    const nobodys = changes.filter(({ table, current, deleted }) => {
      const row = (current ?? deleted)!;
      return table.hasUnknownKind(row) && !table.definitionOf(row);
    });
    for (const { className, discriminatorColumn } of new Set(nobodys.map(({ table }) => table.root))) {
      this.parts.events.emit('cqrs.master.uncaptured', {
        entity: className,
        reason: `rows were written whose '${String(discriminatorColumn)}' is null or belongs to no entity`,
        cure: `Set it, or give ${className} a CQRS_ID of its own, under which such rows then travel.`,
      });
    }
  }

  #decideOne(
    transaction: TransactionContext,
    definition: MasterDefinition | undefined,
    change: PendingChange,
  ): Announcement[] {
    if (!definition?.produce || (!change.existedBefore && !change.current)) return [];
    const announcement = decide(definition, change, (row) => row && this.matches(transaction, definition, row));
    return announcement ? [announcement] : [];
  }

  /** A row that belongs to another master now is deleted under its former id, with the version that it has now. */
  #leave(transaction: TransactionContext, former: MasterDefinition, change: PendingChange): Announcement[] {
    const { table, formerKind, current, deleted } = change;
    if (!former.produce || !this.matches(transaction, former, formerKind!)) return [];
    const now = (current ?? deleted)!;
    const row = [REVISION, UPDATED, INCARNATION].reduce(
      (image, field) => table.withValue(image, field, table.value(now, field)!),
      formerKind!,
    );
    const revisionStep = current ? 0 : 1;
    return [{ definition: former, signalType: SignalType.DELETE, row, created: false, revisionStep, queue: null }];
  }

  async #serialize(transaction: TransactionContext, announcements: readonly Announcement[]): Promise<OutboxEntry[]> {
    const complete = announcements.some(({ definition }) => needsEntity(definition))
      ? await this.#withEntities(transaction, announcements)
      : announcements;
    const own = this.parts.contextOf(transaction);
    const entries: OutboxEntry[] = [];
    // One after the other: serializers may use the transaction, which runs one statement at a time.
    for (const announcement of complete) {
      const entry = toOutboxEntry({ context: own, ...announcement }, this.parts.settings);
      entries.push(entry instanceof Promise ? await entry : entry);
    }
    return entries;
  }

  async #withEntities(
    transaction: TransactionContext,
    announcements: readonly Announcement[],
  ): Promise<Announcement[]> {
    const em = forkInside(this.parts.orm, transaction);
    const complete = announcements.map((announcement): Announcement => {
      if (!needsEntity(announcement.definition)) return announcement;
      return { ...announcement, entity: hydrate(em, announcement.definition, announcement.row) };
    });
    for (const definition of new Set(complete.map((one) => one.definition))) {
      const entities = complete
        .filter((one) => one.definition === definition && one.entity && one.signalType !== SignalType.DELETE)
        .map((one) => one.entity!);
      await populate(em, definition, entities);
    }
    return complete;
  }
}

/** In parts, in their order: two states of one row would be one entity, the later one. */
function withoutRepeatedKeys<C extends PendingChange>(changes: readonly C[]): C[][] {
  const parts: C[][] = [];
  let keys = new Set<string>();
  for (const change of changes) {
    const id = `${change.table.name}\u0000${change.key}`;
    if (parts.length === 0 || keys.has(id)) {
      parts.push([]);
      keys = new Set();
    }
    keys.add(id);
    parts.at(-1)!.push(change);
  }
  return parts;
}

/**
 * What one change of a row means to replicas. `matches` answers whether a row passes `isSyncInstance`, undefined when
 * the row is not known. A row that leaves the filter is deleted with its own revision, so that its next SAVE is higher.
 */
export function decide(
  definition: MasterDefinition,
  change: PendingChange,
  matches: (row: RowImage | undefined) => boolean | undefined,
): Announcement | undefined {
  const common = { definition, before: change.before, created: !change.existedBefore, queue: null };
  if (!change.current) {
    return { ...common, signalType: SignalType.DELETE, row: change.deleted!, revisionStep: 1 };
  }
  if (matches(change.current)) {
    return { ...common, signalType: SignalType.SAVE, row: change.current, revisionStep: 0 };
  }
  if (change.existedBefore && matches(change.before) !== false) {
    return { ...common, signalType: SignalType.DELETE, row: change.current, revisionStep: 0 };
  }
  return undefined;
}
