import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { versionComment } from '../../postgres/schema-version.js';
import type { Executor } from './outbox.js';

/**
 * Which entities have had a queue. One that had none yet has no replica, and its changes are settled at once; one whose
 * last queue is gone (deleted, its binding removed, the exchange made anew) waits for it.
 *
 *   no route ──confirmed──▶ route ──waited in vain, or `cqrs retire`──▶ no route
 */

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const ROUTES_VERSION = 1;

/** Added to the entities of every service with masters, so that the schema generator and migrations know the table. */
export const KnownRoute = defineEntity({
  name: 'CqrsKnownRoute',
  tableName: 'cqrs_routes',
  comment: versionComment(ROUTES_VERSION),
  properties: {
    cqrsId: p.text().name('cqrs_id').primary(),
    since: p.datetime().columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
  },
});

/** Forgets that these entities had a queue; all of them by default. */
export async function forgetRoutes(executor: Executor, table: string, cqrsIds?: readonly string[]): Promise<void> {
  await executor.executeQuery(
    CompiledQuery.raw(`delete from ${table} where $1::text[] is null or cqrs_id = any($1)`, [cqrsIds ?? null]),
  );
}

/** What one relay knows of them: while all goes well nobody is asked. */
export class Routes {
  readonly #noted = new Set<string>();

  constructor(private readonly table: string) {}

  /** Which of these have had a queue. Asked only when a message has found none. */
  async known(executor: Executor, cqrsIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (cqrsIds.length === 0) return new Set();
    for (const cqrsId of cqrsIds) this.#noted.delete(cqrsId);
    const { rows } = await executor.executeQuery<{ cqrsId: string }>(
      CompiledQuery.raw(`select cqrs_id as "cqrsId" from ${this.table} where cqrs_id = any($1::text[])`, [
        cqrsIds,
      ]) as CompiledQuery<{ cqrsId: string }>,
    );
    return new Set(rows.map(({ cqrsId }) => cqrsId));
  }

  /** Notes that these have a queue, outside of the relay's transaction: its locks would make other relays wait. */
  async note(executor: Executor, cqrsIds: ReadonlySet<string>): Promise<void> {
    const added = [...cqrsIds].filter((cqrsId) => !this.#noted.has(cqrsId)).toSorted();
    if (added.length === 0) return;
    await executor.executeQuery(
      CompiledQuery.raw(
        `insert into ${this.table} (cqrs_id) select unnest($1::text[]) on conflict (cqrs_id) do nothing`,
        [added],
      ),
    );
    for (const cqrsId of added) this.#noted.add(cqrsId);
  }
}
