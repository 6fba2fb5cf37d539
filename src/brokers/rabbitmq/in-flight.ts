/** A message on its way to the broker. */
export interface InFlightMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  /** The broker sent it back: no queue is bound for it. */
  returned: boolean;
}

/**
 * Finds the message that the broker sends back. A return names exchange, routing key and body, nothing else; a mark of
 * ours in the properties would change what Python receives. It needs none: a return comes before the confirm of its
 * message, and returns come in the order of publishing, so it belongs to the oldest message in flight with that address
 * and body. Two that agree in all of it are the same message, and it does not matter which one is meant.
 */
export class InFlight {
  readonly #byAddress = new Map<string, Set<InFlightMessage>>();

  add(message: InFlightMessage): void {
    const address = addressOf(message);
    const messages = this.#byAddress.get(address);
    if (messages) messages.add(message);
    else this.#byAddress.set(address, new Set([message]));
  }

  remove(message: InFlightMessage): void {
    const address = addressOf(message);
    const messages = this.#byAddress.get(address);
    messages?.delete(message);
    if (messages?.size === 0) this.#byAddress.delete(address);
  }

  markReturned(returned: Omit<InFlightMessage, 'returned'>): void {
    for (const message of this.#byAddress.get(addressOf(returned)) ?? []) {
      if (message.returned || !message.body.equals(returned.body)) continue;
      message.returned = true;
      this.remove(message);
      return;
    }
  }
}

function addressOf({ exchange, routingKey }: Pick<InFlightMessage, 'exchange' | 'routingKey'>): string {
  return `${exchange}\0${routingKey}`;
}
