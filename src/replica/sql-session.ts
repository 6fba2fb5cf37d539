import type { EntityManager } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { withoutValues } from './database-errors.js';
import type { Statement } from './replica-table.js';

/** Every value is read as text: drivers disagree about the rest. */
export type TextRow = Readonly<Record<string, string | null>>;

interface Executor {
  executeQuery(query: CompiledQuery): Promise<{ rows: unknown[] }>;
}

/** Bound statements in the open transaction of an EntityManager. */
export class SqlSession {
  readonly #transaction: Executor;

  /** @throws Error when no transaction is open. */
  constructor(em: EntityManager) {
    const transaction = em.getTransactionContext<Executor>();
    if (!transaction) throw new Error('Replicas are written in a transaction only.');
    this.#transaction = transaction;
  }

  /** @throws DatabaseError when PostgreSQL refuses. */
  async run({ text, parameters }: Statement): Promise<Record<string, string>[]> {
    try {
      const { rows } = await this.#transaction.executeQuery(CompiledQuery.raw(text, [...parameters]));
      return rows as Record<string, string>[];
    } catch (error) {
      throw withoutValues(error);
    }
  }
}
