/**
 * Which acknowledgements to send for one channel, whose delivery tags count 1, 2, 3 …: one `multiple` for all that is
 * settled without a hole, single ones for what is settled behind a hole.
 */
export class AckWindow {
  /** All tags up to here are settled. */
  #floor = 0;
  /** The highest of them that was not sent yet. */
  #unsent: number | undefined;
  /** Behind a hole. */
  readonly #settled = new Set<number>();
  readonly #sentAhead = new Set<number>();

  settle(tag: number): void {
    if (tag <= this.#floor || this.#sentAhead.has(tag)) return;
    if (tag === this.#floor + 1) this.#unsent = this.#floor = tag;
    else this.#settled.add(tag);
  }

  /** The tag ended another way and needs no acknowledgement. */
  skip(tag: number): void {
    this.#sentAhead.add(tag);
  }

  /** What has to be sent now, in this order. */
  take(): { tag: number; multiple: boolean }[] {
    const acks: { tag: number; multiple: boolean }[] = [];
    this.#closeHoles();
    if (this.#unsent !== undefined) acks.push({ tag: this.#unsent, multiple: true });
    this.#unsent = undefined;
    for (const tag of this.#settled) {
      acks.push({ tag, multiple: false });
      this.#sentAhead.add(tag);
    }
    this.#settled.clear();
    return acks;
  }

  /** Raises the floor over what is settled behind it; what was sent ahead is not sent again, RabbitMQ refuses to hear it twice. */
  #closeHoles(): void {
    for (let next = this.#floor + 1; ; next++) {
      if (this.#settled.delete(next)) this.#unsent = next;
      else if (!this.#sentAhead.delete(next)) return;
      this.#floor = next;
    }
  }
}
