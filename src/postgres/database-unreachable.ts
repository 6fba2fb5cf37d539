import { isNativeError } from 'node:util/types';
import { sqlState } from '../kernel/describe-error.js';
import { DatabaseUnreachableError } from '../kernel/errors.js';
import { tlsTrouble } from '../kernel/tls-trouble.js';

/** Refused to this user; no such database; connection failure; too many connections; starting up or shutting down. */
const REFUSED = /^(28|3D|08|53|57P)/;
// Sayings of `pg` without any code.
const WITHOUT_CODE =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|The server does not support SSL)/;

/** What MikroORM connects to. */
interface DatabaseAddress {
  readonly host?: string | undefined;
  readonly port?: number | string | undefined;
  readonly database?: string | undefined;
}

/**
 * An error of the first questions to a database, in words that name the database and the reason but no user or password,
 * if it means that no question can be asked; any other is given back as it is.
 */
export function namingDatabase(error: unknown, { host = '', port = '', database = '' }: DatabaseAddress): unknown {
  if (!isNativeError(error)) return error;
  const state = sqlState(error);
  const code: unknown = Reflect.get(error, 'code');
  const unreachable =
    state === undefined ? typeof code === 'string' || WITHOUT_CODE.test(error.message) : REFUSED.test(state);
  if (!unreachable) return error;
  const name = `postgresql://${host}${port ? `:${port}` : ''}/${database}`;
  return new DatabaseUnreachableError(name, tlsTrouble(error) ?? withoutUser(saying(error)), { cause: error });
}

// Node reports "all addresses of this name refused" as an AggregateError without a message.
function saying(error: Error): string {
  if (error.message !== '') return error.message;
  return error instanceof AggregateError && isNativeError(error.errors[0]) ? error.errors[0].message : error.name;
}

function withoutUser(text: string): string {
  return text.replace(/(user|role) "[^"]*"/g, 'the $1').trim();
}
