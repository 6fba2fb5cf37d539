import { setImmediate } from 'node:timers/promises';

/**
 * Loaded before a command (`--import`, with `--expose-gc`): whoever started it asks over the channel between the two, and
 * is told what is in use once everything is collected that nobody holds any more.
 */

/** In megabytes. */
export interface InUse {
  readonly inUseMb: number;
}

process.on('message', () => void answer());
// The command ends when its work is done, whether anybody may still ask or not.
process.channel?.unref();

async function answer(): Promise<void> {
  // Twice, and apart: what waits for a finalizer is free only after it.
  for (let time = 0; time < 2; time++) {
    globalThis.gc!();
    await setImmediate();
  }
  const { heapUsed, external } = process.memoryUsage();
  if (process.connected) process.send!({ inUseMb: (heapUsed + external) / 1e6 } satisfies InUse, () => {});
}
