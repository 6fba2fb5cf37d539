import { resolveTransport, type TransportOption } from './by-name.js';
import type {
  AskOptions,
  ConsumeOptions,
  DeadLetterOptions,
  DeadLetters,
  Delivery,
  OutgoingMessage,
  PublishResult,
  QueueExamination,
  QueueState,
  Respond,
  ServiceQueues,
  Subscription,
  Transport,
  TransportContext,
} from '../messaging/transport/transport.js';

/**
 * A transport that is made and connected when it is first needed, and once for all who need it. A connection that failed
 * is tried anew by the next caller.
 */
export class LazyTransport implements Transport {
  #made?: Promise<Transport>;
  #connected?: Promise<void>;

  constructor(
    private readonly option: TransportOption,
    private readonly options: object,
  ) {}

  connect(context: TransportContext): Promise<void> {
    return (this.#connected ??= this.#transport()
      .then((transport) => transport.connect(context))
      .catch((error: unknown) => {
        this.#connected = undefined;
        throw error;
      }));
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
    return (await this.#transport()).publish(messages);
  }

  async consume(options: ConsumeOptions, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    return (await this.#transport()).consume(options, onDelivery);
  }

  async ask(queue: string, question: string, options: AskOptions): Promise<Uint8Array> {
    return (await this.#transport()).ask(queue, question, options);
  }

  async answer(queue: string, respond: Respond): Promise<Subscription> {
    return (await this.#transport()).answer(queue, respond);
  }

  async inspect(queue: string): Promise<QueueState | undefined> {
    return (await this.#transport()).inspect(queue);
  }

  async removeQueue(queue: string): Promise<boolean> {
    return (await this.#transport()).removeQueue(queue);
  }

  async openDeadLetters(options: DeadLetterOptions): Promise<DeadLetters | undefined> {
    return (await this.#transport()).openDeadLetters(options);
  }

  async examineQueues(queues: ServiceQueues): Promise<QueueExamination> {
    const transport = await this.#transport();
    return (await transport.examineQueues?.(queues)) ?? { findings: [], notExamined: null };
  }

  async close(): Promise<void> {
    const transport = await this.#made?.catch(() => undefined);
    await transport?.close();
  }

  #transport(): Promise<Transport> {
    return (this.#made ??= resolveTransport(this.option, this.options));
  }
}
