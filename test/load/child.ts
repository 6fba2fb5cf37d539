import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scene } from './scene.ts';

export type Role = 'worker' | 'relay' | 'retry' | 'purge';

/** What a process says of itself, four times a second. */
export interface Sample {
  readonly atMs: number;
  readonly rssBytes: number;
  /** Messages that have come to an end, or letters that were handled. */
  readonly done: number;
}

/** A part of the service under load, in a process of its own. */
export class Child {
  readonly samples: Sample[] = [];

  private constructor(private readonly process: ChildProcess) {
    process.on('message', (sample: Sample) => void this.samples.push(sample));
  }

  static async start(role: Role, scene: Scene): Promise<Child> {
    const child = new Child(
      fork(fileURLToPath(new URL('part.ts', import.meta.url)), {
        env: { ...process.env, LOAD_PART: JSON.stringify({ role, scene }) },
        execArgv: process.execArgv,
      }),
    );
    await once(child.process, 'message');
    return child;
  }

  get done(): number {
    return this.samples.at(-1)?.done ?? 0;
  }

  /** How far it is at this moment. */
  async doneNow(): Promise<number> {
    const answer = once(this.process, 'message');
    this.process.send('tell');
    await answer;
    return this.done;
  }

  async ended(): Promise<void> {
    if (this.process.exitCode === null) await once(this.process, 'exit');
    if (this.process.exitCode !== 0) throw new Error(`a part ended with ${this.process.exitCode}`);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.ended();
  }

  /** How the memory went while `of` messages were handled, after the first half, in which everything warms up. */
  memory(of: number): { peakRssMb: number; rssSlopeMbPer100k: number } {
    const warm = this.samples.filter(({ done }) => done >= of / 2 && done < of);
    const used = warm.length > 2 ? warm : this.samples;
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [x, y] = [used.map(({ done }) => done / 100_000), used.map(({ rssBytes }) => rssBytes / 1e6)];
    const [mx, my] = [mean(x), mean(y)];
    const spread = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
    const slope = spread === 0 ? 0 : x.reduce((sum, value, index) => sum + (value - mx) * (y[index]! - my), 0) / spread;
    const peak = this.samples.reduce((most, { rssBytes }) => Math.max(most, rssBytes), 0);
    return { peakRssMb: Math.round(peak / 1e6), rssSlopeMbPer100k: Number(slope.toFixed(2)) };
  }
}
