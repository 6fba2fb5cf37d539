import { ApiProblem } from './api-problem.js';

/** So many actions a minute for each user: a bucket that fills up evenly. */
export class RateLimit {
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(
    private readonly perMinute: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @throws ApiProblem saying when to come again. */
  take(user: string): void {
    const now = this.now();
    const { perMinute } = this;
    const bucket = this.#buckets.get(user) ?? { left: perMinute, at: now };
    const left = Math.min(perMinute, bucket.left + ((now - bucket.at) * perMinute) / 60_000);
    if (left < 1) {
      const retryAfterSeconds = Math.ceil(((1 - left) * 60) / perMinute);
      throw new ApiProblem('too-many-requests', `More than ${perMinute} actions in a minute.`, {
        cure: `Wait ${retryAfterSeconds} s.`,
        details: { retryAfterSeconds },
        headers: { 'retry-after': String(retryAfterSeconds) },
      });
    }
    this.#buckets.set(user, { left: left - 1, at: now });
    this.#forget(now);
  }

  // A bucket that is full again says nothing; there must not be one for every user that ever came.
  #forget(now: number): void {
    if (this.#buckets.size < 1_000) return;
    for (const [user, { at }] of this.#buckets) if (now - at > 60_000) this.#buckets.delete(user);
  }
}
