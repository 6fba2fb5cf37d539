import type { EntityManager } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { prepared } from '../core/prepared-statements.js';
import { isWatched, withNext } from '../core/round-trips.js';
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

  /**
   * @param steady whether the transaction has `STEADY_PLANS`. Only there may plans be kept: elsewhere PostgreSQL would make
   *   some that fit a table as small as it is today.
   * @throws Error when no transaction is open.
   */
  constructor(
    private readonly em: EntityManager,
    private readonly steady = false,
  ) {
    const transaction = em.getTransactionContext<Executor>();
    if (!transaction) throw new Error('Replicas are written in a transaction only.');
    this.#transaction = transaction;
  }

  /** Whether it can run what `copyIn` has marked. */
  get canCopy(): boolean {
    const driver = this.em.getDriver() as unknown as { getConnection(type: 'write'): object };
    return isWatched(driver.getConnection('write'));
  }

  /** @throws DatabaseError when PostgreSQL refuses. */
  async run(statement: Statement): Promise<Record<string, string>[]> {
    const [rows] = await this.runAll([statement]);
    return rows!;
  }

  /**
   * One after another, without waiting for each where the driver can do that. @returns their rows
   * @throws DatabaseError of the first that PostgreSQL refuses; the transaction is aborted then.
   */
  async runAll(statements: readonly Statement[]): Promise<Record<string, string>[][]> {
    try {
      const answers: unknown[][] = [];
      for (const [index, { text, parameters, steady }] of statements.entries()) {
        const named = steady && this.steady ? prepared(text) : text;
        const sql = index < statements.length - 1 ? withNext(named) : named;
        answers.push((await this.#transaction.executeQuery(CompiledQuery.raw(sql, [...parameters]))).rows);
      }
      return answers as Record<string, string>[][];
    } catch (error) {
      throw withoutValues(error);
    }
  }
}
