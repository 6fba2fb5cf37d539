import { type EntityManager, IsolationLevel } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { prepared } from '../../../postgres/prepared-statements.js';
import { isWatched, withCommit, withNext } from '../../../postgres/round-trips.js';
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
    return this.#send(statement);
  }

  /**
   * One after another, without waiting for each where the driver can do that. @returns their rows
   * @throws DatabaseError of the first that PostgreSQL refuses; the transaction is aborted then.
   */
  async runAll(statements: readonly Statement[]): Promise<Record<string, string>[][]> {
    const last = statements.length - 1;
    const answers: Record<string, string>[][] = [];
    for (const [index, one] of statements.entries()) {
      answers.push(await this.#send(one, index < last ? withNext : undefined));
    }
    return answers;
  }

  /** Lets a statement wait for the next one, whose error may then be its own. @returns rows that are there with that one's */
  hold(statement: Statement): Promise<Record<string, string>[]> {
    return this.#send(statement, withNext);
  }

  /**
   * Lets a statement wait for the COMMIT, which then happens only if it succeeds. @returns rows that are there when the
   * transaction is committed
   */
  holdForCommit(statement: Statement): Promise<Record<string, string>[]> {
    return this.#send(statement, withCommit);
  }

  async #send(
    { text, parameters, steady }: Statement,
    mark?: (sql: string) => string,
  ): Promise<Record<string, string>[]> {
    const named = steady && this.steady ? prepared(text) : text;
    try {
      const query = CompiledQuery.raw(mark ? mark(named) : named, [...parameters]);
      return (await this.#transaction.executeQuery(query)).rows as Record<string, string>[];
    } catch (error) {
      throw withoutValues(error);
    }
  }
}

/** A transaction, or a savepoint where one is open. */
export function inSavepointOf<T>(em: EntityManager, work: (em: EntityManager) => Promise<T>): Promise<T> {
  if (em.isInTransaction()) return em.transactional(work);
  return em.transactional(work, { isolationLevel: IsolationLevel.READ_COMMITTED });
}
