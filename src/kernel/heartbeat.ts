/**
 * Whether a loop moves. It says when it takes a step (a batch, a publication, an attempt to connect) and when it waits for
 * work or for its next attempt; a step that does not end is a loop that is stuck. All heartbeats of a Cqrs share one set of
 * those that are in a step.
 */
export class Heartbeat {
  #since = 0;

  constructor(
    /** Whose it is, in words, e.g. `relay`. */
    readonly name: string,
    private readonly busy: Set<Heartbeat> = new Set(),
  ) {}

  /** A step begins; the one before has ended. */
  beat(): void {
    this.#since = performance.now();
    this.busy.add(this);
  }

  /** It waits, and has nothing in work. */
  rest(): void {
    this.busy.delete(this);
  }

  /** How long its step has taken so far. Milliseconds. */
  get busyMs(): number {
    return performance.now() - this.#since;
  }
}
