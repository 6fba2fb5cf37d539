/** Choices that are the same whenever the seed is. Every step of every transaction has a stream of its own. */
export class Random {
  #state: number;

  private constructor(state: number) {
    this.#state = state;
  }

  /** The stream of one place in a history: the seed, and what names the place. */
  static of(...path: readonly number[]): Random {
    let hash = 0x811c9dc5;
    for (const part of path) {
      for (const half of [part >>> 0, Math.floor(part / 2 ** 32) >>> 0]) {
        hash = Math.imul(hash ^ half, 0x01000193);
        hash ^= hash >>> 15;
        hash = Math.imul(hash, 0x2c1b3c6d);
        hash ^= hash >>> 13;
      }
    }
    return new Random(hash);
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to below `below`. */
  int(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.int(all.length)]!;
  }

  /** One of them, those with a greater weight more often. */
  weighted<T>(all: readonly { readonly weight: number; readonly value: T }[]): T {
    let left = this.next() * all.reduce((sum, { weight }) => sum + weight, 0);
    for (const { weight, value } of all) if ((left -= weight) < 0) return value;
    return all.at(-1)!.value;
  }

  /** Some of them, in a random order, at least `least`. */
  some<T>(all: readonly T[], least = 1, most = all.length): T[] {
    const left = [...all];
    const count = Math.min(left.length, least + this.int(most - least + 1));
    return Array.from({ length: count }, () => left.splice(this.int(left.length), 1)[0]!);
  }
}
