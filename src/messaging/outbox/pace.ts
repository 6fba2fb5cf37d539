/** Keeps a stream of messages at or below so many a second. What was not used of the past is not made up for. */
export class Pace {
  #dueAt: number;

  /** @param nowMs when it begins. */
  constructor(
    private readonly perSecond: number,
    nowMs: number,
  ) {
    this.#dueAt = nowMs;
  }

  /** Counts messages that were sent. @returns how many milliseconds to wait before the next. */
  wait(sent: number, nowMs: number): number {
    this.#dueAt = Math.max(this.#dueAt + (sent / this.perSecond) * 1_000, nowMs);
    return this.#dueAt - nowMs;
  }
}
