import type { Events, MessageFields } from '../../../kernel/events.js';
import { stringifyJson } from '../../../wire/values.js';
import type { Prepared } from '../prepare.js';
import type { Decision, Doubt } from './revision-rules.js';

/** What has to be said of decisions once they are committed: clocks that were not trusted, orders that nobody knows. */
export class DecisionNotes {
  readonly #clocks = new Map<Prepared, number>();
  readonly #doubts = new Map<Prepared, Doubt>();

  constructor(private readonly parts: { readonly events: Events; readonly queue: string }) {}

  readonly add = (message: Prepared, { aheadBy, doubt }: Pick<Decision, 'aheadBy' | 'doubt'>): void => {
    this.forget([message]);
    if (aheadBy !== undefined) this.#clocks.set(message, aheadBy);
    if (doubt !== undefined) this.#doubts.set(message, doubt);
  };

  /** Of messages that are to be handled anew. */
  forget(messages: readonly Prepared[]): void {
    for (const message of messages) {
      this.#clocks.delete(message);
      this.#doubts.delete(message);
    }
  }

  /** Messages of which it is not known which of two states of one revision is the later one. */
  get ties(): readonly Prepared[] {
    return [...this.#doubts].filter(([, doubt]) => doubt === 'tie').map(([message]) => message);
  }

  report(): void {
    const { events } = this.parts;
    for (const [message, aheadBy] of this.#clocks) {
      const aheadMs = Math.round(aheadBy / 1000);
      events.emit('cqrs.replica.clock-distrusted', { ...this.#fieldsOf(message), aheadMs });
    }
    for (const [message, reason] of this.#doubts) {
      const { revision } = message.incoming.version;
      events.emit('cqrs.replica.order-doubted', { ...this.#fieldsOf(message), reason, revision });
    }
  }

  #fieldsOf({ received, definition }: Prepared): MessageFields {
    const { signalType, instancePk, retries } = received.payload;
    const pk = typeof instancePk === 'object' ? stringifyJson(instancePk) : String(instancePk);
    return { queue: this.parts.queue, cqrsId: definition.cqrsId, signalType, instancePk: pk, retries };
  }
}
