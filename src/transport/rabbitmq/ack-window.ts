/**
 * Which acknowledgements to send for one channel, whose delivery tags count 1, 2, 3 …: one `multiple` for all that is
 * settled without a hole, single ones for what is settled behind a hole.
 */
export class AckWindow {
  /** All tags up to here are acknowledged. */
  #floor = 0;
  readonly #settled = new Set<number>();
  readonly #sentAhead = new Set<number>();

  settle(tag: number): void {
    if (tag > this.#floor && !this.#sentAhead.has(tag)) this.#settled.add(tag);
  }

  /** The tag ended another way and needs no acknowledgement. */
  skip(tag: number): void {
    this.#sentAhead.add(tag);
  }

  /** What has to be sent now, in this order. */
  take(): { tag: number; multiple: boolean }[] {
    const acks: { tag: number; multiple: boolean }[] = [];
    const lastOfRun = this.#closeHoles();
    if (lastOfRun !== undefined) acks.push({ tag: lastOfRun, multiple: true });
    for (const tag of this.#settled) {
      acks.push({ tag, multiple: false });
      this.#sentAhead.add(tag);
    }
    this.#settled.clear();
    return acks;
  }

  /** Raises the floor; answers the highest tag on the way that was not sent yet: RabbitMQ refuses to hear one twice. */
  #closeHoles(): number | undefined {
    let unsent: number | undefined;
    for (let next = this.#floor + 1; ; next++) {
      if (this.#settled.delete(next)) unsent = next;
      else if (!this.#sentAhead.delete(next)) return unsent;
      this.#floor = next;
    }
  }
}
