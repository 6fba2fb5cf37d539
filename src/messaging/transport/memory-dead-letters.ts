import type { MemoryQueue, MessageContent, StoredMessage } from './memory-queue.js';
import type { DeadLetter, DeadLetters, OutgoingMessage } from './transport.js';

/** Dead letters of a `MemoryBroker` in an operator's hands. */
export class MemoryDeadLetters implements DeadLetters {
  readonly count: number;
  readonly #inHand = new Set<StoredMessage>();

  constructor(
    private readonly deadLetters: MemoryQueue,
    /** Puts one into the queue that it is meant for. */
    private readonly putBack: (content: MessageContent) => void,
  ) {
    this.count = deadLetters.state().messages;
  }

  async take(limit: number): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    while (letters.length < limit) {
      const message = this.deadLetters.takeNext();
      if (!message) break;
      this.#inHand.add(message);
      letters.push(this.#letter(message));
    }
    return letters;
  }

  async purge(): Promise<number> {
    return this.deadLetters.purge();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.deadLetters.giveBack([...this.#inHand].toSorted((a, b) => a.position - b.position));
    this.#inHand.clear();
  }

  #letter(message: StoredMessage): DeadLetter {
    const { body, headers, cqrsId } = message;
    return {
      body,
      headers,
      cqrsId,
      putBack: async (newBody: string, newHeaders: OutgoingMessage['headers'] = {}) => {
        if (!this.#inHand.delete(message)) return;
        this.putBack({
          body: new TextEncoder().encode(newBody),
          headers: newHeaders,
          cqrsId,
          direct: true,
          expiresAt: null,
        });
      },
      purge: async () => void this.#inHand.delete(message),
    };
  }
}
