import type { EntityManager } from '@mikro-orm/core';
import { implicitTransaction, type SqlConnection, type TransactionContext } from './mikro-orm-internals.js';

/**
 * Runs in the EntityManager's open transaction, or in one of its own with the session of the EntityManager; flushes nothing,
 * which `em.transactional()` would.
 */
export function inTransaction<T>(em: EntityManager, work: (transaction: TransactionContext) => Promise<T>): Promise<T> {
  const open = em.getTransactionContext() as TransactionContext | undefined;
  if (open) return work(open);
  const connection = em.getDriver().getConnection('write') as unknown as SqlConnection;
  return connection.transactional(work, implicitTransaction(em));
}
