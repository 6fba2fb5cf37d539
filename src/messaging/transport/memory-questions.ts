import type { Respond } from './transport.js';

/** One question on its way, until it is answered or its asker has gone. */
interface Question {
  readonly body: Uint8Array;
  readonly settle: (answer: Uint8Array | Error) => void;
}

/**
 * The questions put to the queues of a `MemoryBroker`, each handed to one answerer after the other until one has
 * answered.
 */
export class MemoryQuestions {
  readonly #answerers = new Map<string, MemoryAnswerer[]>();
  #turn = 0;

  /** Resolves with the answer; rejects when nobody answers for the queue. */
  ask(queue: string, body: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const settle = (answer: Uint8Array | Error): void => (answer instanceof Error ? reject(answer) : resolve(answer));
      this.hand(queue, { body, settle });
    });
  }

  join(queue: string, respond: Respond): MemoryAnswerer {
    const answerer = new MemoryAnswerer(queue, respond, this);
    this.#answerers.set(queue, [...(this.#answerers.get(queue) ?? []), answerer]);
    return answerer;
  }

  /** @internal */
  leave(queue: string, answerer: MemoryAnswerer): void {
    this.#answerers.set(
      queue,
      (this.#answerers.get(queue) ?? []).filter((other) => other !== answerer),
    );
  }

  /** @internal */
  hand(queue: string, question: Question): void {
    const answerers = this.#answerers.get(queue) ?? [];
    const next = answerers[this.#turn++ % answerers.length];
    if (next) next.take(question);
    else question.settle(new Error(`nobody answers for the queue '${queue}'`));
  }
}

/** One who answers for a queue, and the questions in hand. */
export class MemoryAnswerer {
  readonly #inHand = new Map<Question, Promise<void>>();

  constructor(
    private readonly queue: string,
    private readonly respond: Respond,
    private readonly questions: MemoryQuestions,
  ) {}

  /** @internal */
  take(question: Question): void {
    const answering = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.respond(question.body))
      .then(
        (answer) => {
          if (this.#inHand.delete(question)) question.settle(new TextEncoder().encode(answer));
        },
        () => void this.#inHand.delete(question), // its asker waits until the time is over
      );
    this.#inHand.set(question, answering);
  }

  /** Takes no more, and answers what is in hand. */
  async cancel(): Promise<void> {
    this.questions.leave(this.queue, this);
    await Promise.all(this.#inHand.values());
  }

  /** Takes no more; what is in hand goes to others. */
  close(): void {
    this.questions.leave(this.queue, this);
    const questions = [...this.#inHand.keys()];
    this.#inHand.clear();
    for (const question of questions) this.questions.hand(this.queue, question);
  }
}
