import { MessageRefusedError } from '../../kernel/errors.js';
import { brokerText, replyCode } from './broker-error.js';
import type { PublishedMessage } from './published-message.js';

/**
 * What RabbitMQ has against single messages. A full queue answers with `basic.nack`, which names its message. A body over
 * the limit or a topic that may not be written closes the channel instead, and with it the answers for all others on it.
 */

/** Reply codes of a channel that was closed over one message: too long, forbidden, or impossible. */
const OVER_ONE_MESSAGE: ReadonlySet<unknown> = new Set([311, 313, 403, 406]);

/** Whether a channel was closed over one of its messages; a right to the whole exchange concerns all of them. */
export function isOverOneMessage(closing: unknown): boolean {
  const code = replyCode(closing);
  return OVER_ONE_MESSAGE.has(code) && !(code === 403 && /access to exchange/.test(brokerText(closing)));
}

/**
 * Which of the messages the broker means, where its text says so: then the others need not be sent again to find out.
 * @returns their places; empty when the text does not say
 */
export function accusedBy(closing: unknown, messages: readonly PublishedMessage[]): number[] {
  const text = brokerText(closing);
  const topic = /access to topic '(.*)' in exchange '(.*?)'/.exec(text);
  const most = /message size \d+ (?:is )?larger than (?:configured )?max(?:imum)? size (\d+)/i.exec(text)?.[1];
  return [...messages.keys()].filter((index) => {
    const { exchange, routingKey, body } = messages[index]!;
    if (topic) return routingKey === topic[1] && exchange === topic[2];
    return most !== undefined && body.byteLength > Number(most);
  });
}

/** @param what e.g. the channel's end */
export function refusedBecause(
  broker: string,
  { routingKey, body }: Pick<PublishedMessage, 'routingKey' | 'body'>,
  closing: unknown,
): MessageRefusedError {
  const code = replyCode(closing);
  return new MessageRefusedError(
    `${broker} refuses a message for '${routingKey}' (${body.byteLength} bytes): ${brokerText(closing)}`,
    false,
    { broker, routingKey, ...(code === undefined ? {} : { replyCode: code }) },
  );
}

export function refusedByQueue(
  broker: string,
  { routingKey }: Pick<PublishedMessage, 'routingKey'>,
): MessageRefusedError {
  return new MessageRefusedError(
    `${broker} refuses a message for '${routingKey}': a queue that is bound for it is full (reject-publish) or cannot store it`,
    true,
    { broker, routingKey },
  );
}
