import type { SqlEntityManager } from '@mikro-orm/sql';
import { sqlState } from '../../kernel/describe-error.js';
import { InputError } from '../../kernel/errors.js';
import type { Cqrs } from '../../cqrs.js';
import type { TableAdditions } from './additive-plan.js';

/** How long a statement waits for its table; everybody else's statements on it wait behind. */
const LOCK_TIMEOUT_SECONDS = 3;
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Runs additions, those of each table in a transaction of their own. A table that is there already is none of them, so
 * what was stopped is continued by planning anew.
 * @param done called after each table
 * @throws InputError for a table that is locked for longer than three seconds
 */
export async function runAdditions(
  { orm }: Cqrs,
  tables: readonly TableAdditions[],
  done: (count: number) => void,
): Promise<void> {
  const connection = (orm.em as SqlEntityManager).getConnection('write');
  for (const [index, { table, statements }] of tables.entries()) {
    await connection
      .transactional(async (ctx) => {
        await connection.execute(`set local lock_timeout = '${LOCK_TIMEOUT_SECONDS}s'`, [], 'run', ctx);
        for (const statement of statements) await connection.execute(statement, [], 'run', ctx);
      })
      .catch((error: unknown) => {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
        throw new InputError(
          `The table ${table} is in use: its lock was not free for ${LOCK_TIMEOUT_SECONDS} seconds.`,
          'Run the command again when the long transaction on it has ended; what was added before stays.',
          { cause: error },
        );
      });
    done(index + 1);
  }
}
