import type { MessageProperties, Options } from 'amqplib';
import { isPlain } from '../../messaging/headers.js';
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
  {
    headers,
    expirationMs = null,
    identity,
  }: { headers?: OutgoingMessage['headers']; expirationMs?: number | null; identity?: Identity | undefined } = {},
): Options.Publish {
  return {
    ...identity,
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
 * Headers of a message that is passed on, those that can be, the first ones first: the client reads more than it can write (tables
 * beyond its buffer, numbers that are none, a name that becomes the prototype of the others).
 */
export function passedOn(
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string | number | boolean>> {
  let left = MOST_HEADERS;
  const plain = Object.entries(headers).filter(
    ([name, value]): boolean =>
      name !== '__proto__' && isPlain(value) && (left -= Buffer.byteLength(JSON.stringify([name, value]))) >= 0,
  );
  return Object.fromEntries(plain) as Record<string, string | number | boolean>;
}

/** What a message is known by to others, of what AMQP has for it. */
export type Identity = Pick<Options.Publish, (typeof IDENTITY)[number]>;
const IDENTITY = ['messageId', 'correlationId', 'type', 'appId', 'timestamp'] as const;

/** Undefined when it has nothing of it, as all messages of ours and of django-cqrs. */
export function identityOf(properties: MessageProperties): Identity | undefined {
  const known = IDENTITY.filter((name) => properties[name] !== undefined);
  return known.length === 0 ? undefined : Object.fromEntries(known.map((name) => [name, properties[name] as unknown]));
}
