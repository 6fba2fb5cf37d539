import { type AnyEntity, type EntityManager, helper } from '@mikro-orm/core';
import { ConfigurationError } from '../../kernel/errors.js';
import type { Registry } from '../declare/registry.js';
import type { SignalType } from '../../wire/payload.js';
import { parseJson, type WireObject, type WireValue } from '../../wire/values.js';
import type { Announcer } from './announce/announcer.js';
import { type Place, readByColumns, updateByColumns } from './capture/before-images.js';
import { MasterManager } from './bulk.js';
import { keyTexts } from './definition/entity-keys.js';
import { toDict, trackedData } from './definition/entity-values.js';
import type { MasterDefinition, RowImage } from './definition/master-table.js';
import type { CapturedDriver, TransactionContext } from './mikro-orm-internals.js';
import { inTransaction } from './in-transaction.js';
import { nextOwnAssignments } from './capture/own-columns.js';
import { raiseReplaced } from './capture/replaced-rows.js';
import { PendingChanges } from './capture/pending-changes.js';
import { keyJson } from './announce/serializer.js';
import { MasterSync } from './sync.js';
import type { TransactionLog } from './capture/transaction-log.js';

/** A message that an open transaction will leave behind when it commits. */
export interface PendingAnnouncement {
  readonly cqrsId: string;
  readonly signalType: SignalType;
  /** The key as it travels: a scalar, or a list for a composite key. */
  readonly instancePk: WireValue;
  readonly revision: number;
}

/** What the methods of a master's class do once MikroORM runs: one per `Cqrs`. */
export class MasterRuntime {
  constructor(
    private readonly parts: {
      readonly masters: Registry<MasterDefinition>;
      readonly announcer: Announcer;
      readonly log: TransactionLog;
      readonly raiseIncarnations: (over: number) => Promise<void>;
      readonly createMaker: () => () => Promise<boolean>;
    },
  ) {}

  /** Makes incarnations from now on greater than this one, which replicas know. */
  raiseIncarnations(over: number): Promise<void> {
    return this.parts.raiseIncarnations(over);
  }

  /** What a relay calls before it looks into the outbox: makes some messages, and answers whether there is more. */
  createMaker(): () => Promise<boolean> {
    return this.parts.createMaker();
  }

  manager<T extends object>(entity: abstract new (...args: never[]) => T, em: EntityManager): MasterManager<T> {
    this.#definition(entity);
    return new MasterManager(entity, em);
  }

  async toDict(entity: object, em: EntityManager): Promise<WireObject> {
    return toDict(this.#definition(entity.constructor), entity, em);
  }

  trackedData(entity: object, em: EntityManager): WireObject | null {
    return trackedData(this.#definition(entity.constructor), entity, em);
  }

  async syncEntity(entity: object, em: EntityManager, queue: string | null): Promise<boolean> {
    const definition = this.#definition(entity.constructor);
    const wrapped = helper(entity as AnyEntity);
    if (!wrapped.__originalEntityData && !wrapped.__managed) return false;
    const key = keyOf(definition, entity);
    if (!key) return false;
    const page = await inTransaction(em, (transaction) =>
      new MasterSync(em, this.parts.announcer, this.parts.log).append(transaction, definition, [key], { queue }),
    );
    return page.synced === 1;
  }

  /** Announces rows that were written behind capture's back; answers how many were found. */
  async announceRows(
    entity: Function,
    em: EntityManager,
    rows: readonly object[],
    how: 'created' | 'updated',
  ): Promise<number> {
    const definition = this.#definition(entity);
    const { table, meta } = definition;
    const keys = rows.map((row) => keyOf(definition, row)).filter((key) => key !== undefined);
    if (keys.length === 0) return 0;
    const driver = em.getDriver() as unknown as CapturedDriver;
    return inTransaction(em, async (transaction) => {
      const sqlName = driver.getTableName(meta, {});
      const place = { driver, connection: driver.getConnection('write'), transaction, table };
      const followed = this.parts.log.changesOf(transaction);
      const pending = followed ?? new PendingChanges();
      let found = 0;
      for (let start = 0; start < keys.length; start += PAGE) {
        const images = await readKeys(place, sqlName, keys.slice(start, start + PAGE));
        found += images.length;
        // The database has noted them already.
        if (table.capture === 'trigger') continue;
        if (how === 'created') await this.#announceCreated(place, sqlName, images, pending);
        else await this.#announceUpdated(place, sqlName, images, pending);
      }
      if (!followed) (await this.parts.announcer.announce(transaction, pending.drain()))();
      return found;
    });
  }

  /** Rows with the keys of deleted ones become later than these. */
  async #announceCreated(
    place: Place,
    sqlName: string,
    images: readonly RowImage[],
    pending: PendingChanges,
  ): Promise<void> {
    const { table } = place;
    const replaced = images.flatMap((image) => {
      const deleted = pending.find(table, table.keyOf(image))?.deleted;
      return deleted ? [{ image, deleted }] : [];
    });
    for (const image of images) pending.inserted(table, sqlName, image);
    if (replaced.length === 0) return;
    for (const row of await raiseReplaced(place, sqlName, replaced)) {
      pending.updated(table, sqlName, table.takeImage(row));
    }
  }

  /** Rows that capture has not seen in this transaction move by a step; what they were before is not known. */
  async #announceUpdated(
    place: Place,
    sqlName: string,
    images: readonly RowImage[],
    pending: PendingChanges,
  ): Promise<void> {
    const { table } = place;
    const isKnown = (image: RowImage): boolean => pending.find(table, table.keyOf(image))?.current !== undefined;
    const unseen = images.filter((image) => !isKnown(image));
    const moved =
      unseen.length === 0
        ? []
        : await readKeys(
            place,
            sqlName,
            unseen.map((image) => table.keyValues(image)),
            nextOwnAssignments({ first: true }),
          );
    for (const image of [...images.filter(isKnown), ...moved]) pending.updated(table, sqlName, image);
  }

  /** What the open transaction of an EntityManager would announce if it committed now; nothing is written. */
  pending(em: EntityManager): PendingAnnouncement[] {
    const triggered = [...this.parts.masters].find(({ table }) => table.capture === 'trigger');
    if (triggered) {
      throw new ConfigurationError([
        {
          where: triggered.meta.className,
          what: 'its writes are captured by triggers, and cqrs.pending() only knows those that are captured at the driver.',
          cure: 'Look at the rows themselves before the commit.',
        },
      ]);
    }
    const transaction = em.getTransactionContext() as TransactionContext | undefined;
    const changes = transaction && this.parts.log.changesOf(transaction)?.list();
    if (!changes) return [];
    return this.parts.announcer
      .decideAll(transaction, changes)
      .map(({ definition, signalType, row, revisionStep }) => ({
        cqrsId: definition.cqrsId,
        signalType,
        instancePk: parseJson(keyJson(definition.table, row)),
        revision: definition.table.revision(row) + revisionStep,
      }));
  }

  #definition(entity: Function): MasterDefinition {
    const definition = this.parts.masters.byEntity(entity);
    if (definition) return definition;
    throw new ConfigurationError([
      {
        where: entity.name,
        what: 'it is not a master of this service.',
        cure: 'Declare it with a CQRS_ID and list it in `entities`.',
      },
    ]);
  }
}

function keyOf({ meta }: MasterDefinition, row: object): string[] | undefined {
  const values = meta.primaryKeys.map((name) => (row as Record<string, unknown>)[name]);
  if (values.some((value) => value === undefined || value === null)) return undefined;
  return keyTexts(meta, Object.fromEntries(meta.primaryKeys.map((name, index) => [name, values[index]])));
}

/** So many rows are read, or moved, by one statement. */
const PAGE = 1_000;

/** The rows with these keys, locked; with `assignments`, changed as well. */
async function readKeys(
  place: Place,
  sqlName: string,
  keys: readonly (readonly string[])[],
  assignments?: string,
): Promise<RowImage[]> {
  const fields = place.table.keyColumns.map((column) => column.field);
  const images = assignments
    ? await updateByColumns(place, sqlName, fields, keys, assignments)
    : await readByColumns(place, sqlName, fields, keys, 'update');
  return [...images.values()];
}
