import { toError } from '../../kernel/describe-error.js';
import type { Events } from '../../kernel/events.js';
import { retrying } from '../../kernel/retrying.js';
import { Service } from '../../kernel/service.js';
import type { Subscription, Transport } from '../transport/transport.js';

export interface AnsweringParts {
  readonly transport: Partial<Pick<Transport, 'answer'>>;
  readonly queue: string;
  readonly cqrsIds: readonly string[];
  readonly events: Events;
  /** Answers questions about what the handlers keep of these ids; it never rejects. Default: nobody answers. */
  readonly answers?: ((question: Uint8Array, cqrsIds: readonly string[]) => Promise<string>) | undefined;
}

/**
 * Answers the questions put to a queue, as long as it runs. A comfort: a broker that lets nobody answer keeps no message
 * from being applied, so it starts at once and tries again by itself.
 */
export class Answering extends Service {
  #subscribing: Promise<Subscription | undefined> = Promise.resolve(undefined);

  constructor(private readonly parts: AnsweringParts) {
    super();
  }

  protected override async onStart(): Promise<void> {
    this.#subscribing = this.#subscribe();
  }

  protected override async onStop(): Promise<void> {
    await (await this.#subscribing)?.cancel().catch(() => {}); // a connection that is gone asks nothing either
  }

  async #subscribe(): Promise<Subscription | undefined> {
    const { transport, queue, cqrsIds, events, answers } = this.parts;
    if (!answers || !transport.answer) return undefined;
    return retrying(() => transport.answer!(queue, (question) => answers(question, cqrsIds)), {
      signal: this.signal,
      onFailure: (error, retryInMs) => {
        events.emit('cqrs.inbox.questions-refused', { queue, error: toError(error), retryInMs });
      },
    });
  }
}
