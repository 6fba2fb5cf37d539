import type { ProcessActivity } from '../../activity/read-activity.js';

/** What processes have counted, as far as its growth is shown. */
export interface Sums {
  readonly announced: number;
  readonly published: number;
  readonly applied: number;
}

interface Sample {
  readonly at: number;
  readonly byProcess: ReadonlyMap<string, Sums>;
}

const NONE: Sums = { announced: 0, published: 0, applied: 0 };
const WINDOW_MS = 30_000;
/** Processes write what they have counted every few seconds: less than this says nothing. */
const LEAST_MS = 8_000;

/** How fast the counters of all processes grow, from what they were when somebody looked before. */
export class Rates {
  #samples: Sample[] = [];

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Takes note of the counters; answers how fast they grew within the last half minute, null when it is not known yet. */
  take(processes: readonly ProcessActivity[]): Sums | null {
    const at = this.now();
    const byProcess = new Map(
      processes.map(({ id, counters: { announced, published, applied } }) => [id, { announced, published, applied }]),
    );
    const newest = this.#samples.at(-1);
    if (!newest || at - newest.at > 1_000) this.#samples.push({ at, byProcess });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW_MS);
    const [oldest] = this.#samples;
    if (!oldest || at - oldest.at < LEAST_MS) return null;
    const seconds = (at - oldest.at) / 1_000;
    const growth = { ...NONE };
    for (const [id, sums] of byProcess) {
      // A process that was not there has counted everything since.
      const before = oldest.byProcess.get(id) ?? NONE;
      for (const name of ['announced', 'published', 'applied'] as const)
        growth[name] += Math.max(0, sums[name] - before[name]);
    }
    return {
      announced: rounded(growth.announced / seconds),
      published: rounded(growth.published / seconds),
      applied: rounded(growth.applied / seconds),
    };
  }
}

export function rounded(rate: number): number {
  return rate >= 10 ? Math.round(rate) : Number(rate.toFixed(2));
}
