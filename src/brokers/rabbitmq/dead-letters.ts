import type { Channel, GetMessage } from 'amqplib';
import { TransportError } from '../../kernel/errors.js';
import type {
  DeadLetter,
  DeadLetterOptions,
  DeadLetters,
  OutgoingMessage,
} from '../../messaging/transport/transport.js';
import { closeChannel, openChannel, type BrokerConnection } from './broker-connection.js';
import { brokerError, replyCode } from './broker-error.js';
import { Deadline } from './deadline.js';
import type { Settler } from './settler.js';
import { identityOf } from './message-properties.js';
import { directKey, readAddress } from './topology.js';

interface DeadLetterParts {
  readonly connection: BrokerConnection;
  readonly settler: Settler;
  /** How long the broker may take for one answer. */
  readonly timeoutMs: number;
}

/**
 * Dead letters on a channel of their own.
 *
 *   open ─▶ take, take … (`basic.get`, unacknowledged) ─▶ close: what is still unacknowledged goes back to its old place
 *
 * AMQP has no way to look at a message without taking it. Taken and given back it keeps its time to live and, in a
 * classic queue, its place; a quorum queue puts more than a few back in any order. It comes to others marked as
 * redelivered, which nothing here or in django-cqrs looks at. To give each back at once would show the first one for
 * ever, so they are held until the end: meanwhile others see a shorter queue. A process that dies, or a connection that
 * breaks, gives everything back too.
 */
export class RabbitMQDeadLetters implements DeadLetters {
  #lost?: Error;

  private constructor(
    private readonly channel: Channel,
    readonly count: number,
    private readonly options: DeadLetterOptions,
    private readonly parts: DeadLetterParts,
  ) {
    channel.once('close', () => (this.#lost ??= new Error('the channel is closed')));
  }

  static async open(options: DeadLetterOptions, parts: DeadLetterParts): Promise<RabbitMQDeadLetters | undefined> {
    const { connection, timeoutMs } = parts;
    const { deadLetterQueue } = options;
    const deadline = new Deadline(timeoutMs);
    const open = async (): Promise<RabbitMQDeadLetters> => {
      const model = await connection.ready({ orBlocked: true });
      const channel = await openChannel(() => model.createChannel());
      const { messageCount } = await channel.checkQueue(deadLetterQueue);
      return new RabbitMQDeadLetters(channel, messageCount, options, parts);
    };
    try {
      return await deadline.cap(open(), connection.broker, `opening '${deadLetterQueue}'`);
    } catch (error) {
      if (replyCode(error) === 404) return undefined;
      throw brokerError(connection.broker, `opening '${deadLetterQueue}'`, error);
    }
  }

  async take(limit: number): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    while (letters.length < limit) {
      const message = await this.#ask('reading a dead letter', () => this.channel.get(this.options.deadLetterQueue));
      if (message === false) break;
      letters.push(this.#letter(message));
    }
    return letters;
  }

  async purge(): Promise<number> {
    const { deadLetterQueue } = this.options;
    const { messageCount } = await this.#ask('purging', () => this.channel.purgeQueue(deadLetterQueue));
    return messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lost) return;
    // Acknowledgements have no answer, and a quorum queue forgets those that it still owes when the channel closes; it
    // answers this question after them.
    await this.#ask('finishing', () => this.channel.get(this.options.deadLetterQueue)).catch(() => {});
    await closeChannel(this.channel);
  }

  #letter(message: GetMessage): DeadLetter {
    const { content, fields, properties } = message;
    const { cqrsId } = readAddress(fields, directKey(this.options.deadLetterQueue, null));
    return {
      body: content,
      headers: properties.headers ?? {},
      cqrsId,
      dropped: droppedFrom(this.options.queue, properties.headers ?? {}),
      putBack: async (body: string, headers?: OutgoingMessage['headers']) => {
        this.#check(); // without its channel it lies there again, and a copy would be one too many
        await this.parts.settler.retry(this.options.queue, cqrsId, body, 0, headers, identityOf(properties));
        this.#acknowledge(message);
      },
      purge: async () => this.#acknowledge(message),
    };
  }

  #acknowledge(message: GetMessage): void {
    this.#check();
    this.channel.ack(message);
  }

  async #ask<T>(doing: string, question: () => Promise<T>): Promise<T> {
    const { broker } = this.parts.connection;
    this.#check();
    try {
      return await new Deadline(this.parts.timeoutMs).cap(question(), broker, doing);
    } catch (error) {
      throw brokerError(broker, doing, error);
    }
  }

  #check(): void {
    const { broker } = this.parts.connection;
    if (this.#lost)
      throw new TransportError(
        `${broker}: the dead letters in hand were given back`,
        { broker },
        { cause: this.#lost },
      );
  }
}

const DROPPED: Readonly<Record<string, string>> = {
  delivery_limit: 'delivery-limit',
  expired: 'message-ttl',
  maxlen: 'max-length',
  rejected: 'rejected',
};

/** What the broker notes of a message that it took out of a queue. Of those that were put back by us it notes nothing. */
function droppedFrom(queue: string, headers: Readonly<Record<string, unknown>>): DeadLetter['dropped'] {
  const deaths: unknown = headers['x-death'];
  const found = Array.isArray(deaths) ? deaths.find((death: Death | null) => death?.queue === queue) : undefined;
  if (!found) return undefined;
  const { reason, time } = found as Death;
  const at = typeof time?.value === 'number' ? new Date(time.value * 1_000) : null;
  return { reason: DROPPED[String(reason)] ?? String(reason), at };
}

/** As amqplib reads it. */
interface Death {
  readonly queue?: unknown;
  readonly reason?: unknown;
  readonly time?: { readonly value?: unknown };
}
