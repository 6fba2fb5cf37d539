import { defineEntity, p, type EntityManager } from '@mikro-orm/core';
import { describeError } from '../../../kernel/describe-error.js';
import type { Events } from '../../../kernel/events.js';
import type { Version } from '../../../wire/payload.js';
import { versionComment } from '../../../postgres/schema-version.js';
import { pause, Service } from '../../../kernel/service.js';
import { backoffMilliseconds } from '../../../kernel/retrying.js';
import type { Statement } from './replica-table.js';
import { SqlSession } from './sql-session.js';
import { versionColumns } from '../rules/stored-version.js';

/**
 * The memory of deletions, and every query on it. A tombstone keeps a message that is older than the deletion from
 * bringing the row back. While a row lives its tombstone, if there is one, belongs to a former state and is ignored.
 */

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const TOMBSTONE_VERSION = 1;

/** Added to the entities of every service with replicas, so that the schema generator and migrations know the table. */
export const Tombstone = defineEntity({
  name: 'CqrsTombstone',
  tableName: 'cqrs_tombstones',
  comment: versionComment(TOMBSTONE_VERSION),
  properties: {
    cqrsId: p.text().name('cqrs_id').primary(),
    key: p.text().primary(),
    incarnation: p.bigint('number').nullable(),
    revision: p.integer(),
    updated: p.datetime().columnType('timestamptz(6)'),
    deletedAt: p.datetime().name('deleted_at').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
  },
  indexes: [{ properties: ['deletedAt'] }],
});

/** What one tombstone says. */
export interface Burial {
  readonly key: string;
  readonly version: Version;
}

/** Writes tombstones over former ones; the caller holds the keys alone. */
export function bury(table: string, cqrsId: string, burials: readonly Burial[]): Statement {
  return {
    text: `insert into ${table} as d (cqrs_id, key, incarnation, revision, updated, deleted_at)
      select $1, u.key, u.incarnation::bigint, u.revision::int, u.updated::timestamptz, clock_timestamp()
      from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as u(key, revision, updated, incarnation)
      on conflict (cqrs_id, key) do update set incarnation = excluded.incarnation, revision = excluded.revision,
        updated = excluded.updated, deleted_at = excluded.deleted_at`,
    parameters: [cqrsId, burials.map(({ key }) => key), ...versionColumns(burials.map(({ version }) => version))],
  };
}

/** What is remembered of these keys; answers with `key`, `revision`, `incarnation` and `updated` as texts. */
export function readBurials(table: string, cqrsId: string, keys: readonly string[]): Statement {
  return {
    text: `select key, revision::text, incarnation::text, updated::text from ${table} where cqrs_id = $1 and key = any($2::text[])`,
    parameters: [cqrsId, keys],
  };
}

/** Forgets the oldest tombstones beyond the retention, so many at a time; answers with one row for each. */
function purge(table: string, retentionSeconds: number, atMost: number): Statement {
  return {
    text: `delete from ${table} where ctid = any(array(
        select ctid from ${table} where deleted_at < clock_timestamp() - ($1::text || ' seconds')::interval
        order by deleted_at limit $2::text::int for update skip locked)) returning 1`,
    parameters: [String(retentionSeconds), String(atMost)],
  };
}

const PURGE_BATCH = 5_000;
const PURGE_INTERVAL_MS = 60 * 60 * 1000;

/** Forgets deletions that are older than the retention: at its start, and every hour. */
export class TombstonePurge extends Service {
  #loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly parts: {
      /** Any EntityManager of the service; it is forked. */
      readonly em: EntityManager;
      readonly events: Events;
      /** The quoted table. */
      readonly table: string;
      readonly retentionSeconds: number;
    },
  ) {
    super();
  }

  protected override async onStart(): Promise<void> {
    this.#loop = this.#run();
  }

  protected override async onStop(): Promise<void> {
    await this.#loop;
  }

  /** Forgets what is due now. @returns how many */
  async purge(): Promise<number> {
    let count = 0;
    for (let last = PURGE_BATCH; last === PURGE_BATCH; count += last) {
      last = await this.parts.em.fork().transactional(async (em) => {
        const rows = await new SqlSession(em).run(purge(this.parts.table, this.parts.retentionSeconds, PURGE_BATCH));
        return rows.length;
      });
    }
    if (count > 0) this.parts.events.emit('cqrs.replica.tombstones-purged', { count });
    return count;
  }

  #warn(error: unknown): void {
    const what = `could not be purged (${describeError(error)}).`;
    this.parts.events.emit('cqrs.replica.warned', { where: 'Tombstone', what, cure: 'It is tried again by itself.' });
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.signal.aborted;) {
      try {
        await this.purge();
        failures = 0;
        await pause(PURGE_INTERVAL_MS, this.signal);
      } catch (error) {
        if (failures === 0) this.#warn(error);
        await pause(backoffMilliseconds(failures++, { max: PURGE_INTERVAL_MS }), this.signal);
      }
    }
  }
}
