import { isNativeError } from 'node:util/types';
import { TransportError } from '../../kernel/errors.js';
import { tlsTrouble } from '../../kernel/tls-trouble.js';

/**
 * Errors of the broker in words that may be logged. What RabbitMQ says quotes the user name at times; it is taken out,
 * in the message and in the cause.
 */
export function brokerError(broker: string, doing: string, error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  const cause = withoutUser(error);
  const code = replyCode(error);
  return new TransportError(
    `${broker}: ${doing} failed: ${cause.message}`,
    { broker, ...(code === undefined ? {} : { replyCode: code }) },
    { cause },
  );
}

/** What RabbitMQ itself says when it closes a channel, without what amqplib puts around it. */
export function brokerText(error: unknown): string {
  const { message } = withoutUser(error);
  return /with message "(.*)"$/s.exec(message)?.[1] ?? message;
}

/** Why a connection could not be opened. Servers that refuse say so in many ways; people need one of a few. */
export function connectionError(broker: string, error: unknown): TransportError {
  const said = isNativeError(error) ? error.message : '';
  if (/ACCESS[-_]REFUSED/.test(said)) return new TransportError(`${broker} refused the user or password`, { broker });
  // The server answers to the request for the vhost with the end of the connection.
  if (/Expected ConnectionOpenOk/.test(said)) {
    return new TransportError(`${broker} has no such vhost, or the user may not use it`, { broker });
  }
  const cause = withoutUser(error);
  return new TransportError(
    `${broker} cannot be reached: ${tlsTrouble(error) ?? cause.message}`,
    { broker },
    { cause },
  );
}

/** The reply code of a channel that the server closed, e.g. 404 or 406. */
export function replyCode(error: unknown): number | undefined {
  if (error instanceof TransportError) return replyCode(error.cause);
  const code: unknown = isNativeError(error) ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'number' ? code : undefined;
}

export function withoutUser(error: unknown): Error {
  const said = isNativeError(error) ? error.message || firstOf(error) : `thrown ${typeof error}`;
  const clean = new Error(said.replace(/user '[^']*'/g, 'the user'));
  const code: unknown = isNativeError(error) ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' || typeof code === 'number' ? Object.assign(clean, { code }) : clean;
}

// Node reports "all addresses of this name refused" as an AggregateError without a message.
function firstOf(error: Error): string {
  const [first]: unknown[] = 'errors' in error && Array.isArray(error.errors) ? error.errors : [];
  return isNativeError(first) ? first.message : error.name;
}
