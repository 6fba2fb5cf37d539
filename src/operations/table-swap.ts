import type { EntityManager } from '@mikro-orm/core';
import { keyTypes } from '../replication/compare/find-rows.js';
import type { KeyedTable } from '../replication/compare/keyed-table.js';
import { quoted } from '../postgres/identifiers.js';
import { formatMicroseconds } from '../wire/times.js';
import { lockAllKeys } from '../replication/replica/key-locks.js';
import { discriminatorOf, UPDATED } from '../replication/replica/definition/replica-columns.js';
import type { ReplicaDefinition } from '../replication/replica/definition/replica-definition.js';
import { SqlSession } from '../replication/replica/rows/sql-session.js';

/** A row that the dump has. */
export interface Kept {
  readonly key: readonly string[];
  /** Microseconds since 1970. */
  readonly updated: number;
}

/**
 * Makes a replica's table that of a dump, inside one transaction: readers see the old table until it commits.
 *
 *   begin: locks ─▶ rows are written by the usual rules, each `keep`s its key ─▶ finish: the others are removed
 *
 * Rows that are newer than everything in the dump stay: a live worker has received them since it was made, and they
 * would not come a second time.
 */
export class TableSwap {
  #newest: number | undefined;
  #types: readonly string[] = [];

  constructor(
    private readonly table: KeyedTable,
    private readonly definition: ReplicaDefinition,
  ) {}

  /** @param waitMs how long to wait for each lock; rejects with a conflict when one is not to be had in time. */
  async begin(em: EntityManager, waitMs: number): Promise<void> {
    const session = new SqlSession(em);
    const [before] = await session.run({
      text: `select current_setting('lock_timeout') as former, set_config('lock_timeout', $1, true) as now`,
      parameters: [`${waitMs}ms`],
    });
    // Workers lock keys first and the table second, too, so that nobody waits in a circle.
    await session.run(lockAllKeys({ alone: this.definition.path === 'hooks' }));
    await session.run({ text: `lock table ${this.table.name} in share row exclusive mode`, parameters: [] });
    await session.run({ text: `select set_config('lock_timeout', $1, true) as now`, parameters: [before!['former']!] });
    this.#types = await keyTypes(session, this.table);
    const columns = this.#types.map((type, index) => `k${index} ${type}`);
    await session.run({
      text: `create temp table cqrs_dumped_keys (${columns.join(', ')}) on commit drop`,
      parameters: [],
    });
  }

  /** These rows are in the dump. */
  async keep(em: EntityManager, rows: readonly Kept[]): Promise<void> {
    if (rows.length === 0) return;
    this.#newest = Math.max(this.#newest ?? -Infinity, ...rows.map(({ updated }) => updated));
    const names = this.#types.map((_, index) => `c${index}`);
    await new SqlSession(em).run({
      text: `insert into cqrs_dumped_keys select ${names.map((name, index) => `u.${name}::${this.#types[index]}`).join(', ')}
        from unnest(${names.map((_, index) => `$${index + 1}::text[]`).join(', ')}) as u(${names.join(', ')})`,
      parameters: names.map((_, index) => rows.map(({ key }) => key[index])),
    });
  }

  async finish(em: EntityManager): Promise<{ removed: number; newer: number }> {
    const session = new SqlSession(em);
    await session.run({ text: 'analyze cqrs_dumped_keys', parameters: [] });
    const same = this.table.keyColumns.map(({ field }, index) => `k.k${index} = t.${quoted(field)}`).join(' and ');
    const kind = discriminatorOf(this.definition.meta);
    const extra = `not exists (select from cqrs_dumped_keys k where ${same})${kind ? ` and t.${quoted(kind.field)} = $1` : ''}`;
    const parameters = kind ? [kind.value] : [];
    const old =
      this.#newest === undefined ? 'true' : `t.${UPDATED} <= '${formatMicroseconds(this.#newest)}'::timestamptz`;
    const [removed] = await session.run({
      text: `with gone as (delete from ${this.table.name} t where ${extra} and ${old} returning 1) select count(*)::text as count from gone`,
      parameters,
    });
    const [newer] = await session.run({
      text: `select count(*)::text as count from ${this.table.name} t where ${extra}`,
      parameters,
    });
    return { removed: Number(removed!['count']), newer: Number(newer!['count']) };
  }
}
