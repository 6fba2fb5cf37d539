import type { Options } from 'amqplib';
import type { OutgoingMessage } from '../../messaging/transport/transport.js';
import type { Dialect } from './options.js';

/**
 * AMQP properties as the Python masters set them. `text/plain` is a must: a kombu consumer decodes a body by its
 * content type before django-cqrs sees it, and JSON would arrive as an object that it cannot read.
 *
 * One difference remains: amqplib sends an empty headers table where pika sends none. No consumer can act on it.
 */
export function messageProperties(
  dialect: Dialect,
  { headers, expirationMs = null }: { headers?: OutgoingMessage['headers']; expirationMs?: number | null } = {},
): Options.Publish {
  return {
    contentType: 'text/plain',
    deliveryMode: 2,
    mandatory: true,
    ...(headers === undefined ? {} : { headers }),
    ...(expirationMs === null ? {} : { expiration: String(Math.ceil(expirationMs)) }),
    ...(dialect === 'kombu' ? { contentEncoding: 'utf-8', priority: 0 } : {}),
  };
}

/** So many bytes of headers are passed on: they travel in one frame, which may be as short as 4,096 bytes. */
const MOST_HEADERS = 2_500;

/**
 * Headers of a message that is passed on as it came, those that can be: the client reads more than it can write (tables
 * beyond its buffer, numbers that are none, a name that becomes the prototype of the others).
 */
export function passedOn(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const plain = Object.entries(headers).filter(([name, value]) => name !== '__proto__' && isPlain(value));
  return Buffer.byteLength(JSON.stringify(plain)) <= MOST_HEADERS ? Object.fromEntries(plain) : {};
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value);
}
