import { type FilterQuery, ValidationError } from '@mikro-orm/core';
import { UsageError } from './arguments.js';

/** @throws UsageError when the text is not a JSON object. */
export function parseFilter(text: string | undefined): FilterQuery<object> | undefined {
  if (text === undefined) return undefined;
  let filter: unknown;
  try {
    filter = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--filter is not JSON: ${text}`, { cause: error });
  }
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) {
    throw new UsageError(`--filter must be a JSON object such as '{"id":{"$gt":5}}', not ${text}`);
  }
  return filter as FilterQuery<object>;
}

/** Runs work that uses the filter; what MikroORM has against it is told as a mistake of the command line. */
export async function withFilter<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ValidationError || isBadFilter(error))
      throw new UsageError(`--filter: ${error.message}`, { cause: error });
    throw error;
  }
}

// MikroORM has no class of its own for a property that an entity does not have.
function isBadFilter(error: unknown): error is Error {
  return error instanceof Error && error.message.startsWith('Trying to query by');
}
