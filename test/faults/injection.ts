import type { Events } from '../../src/kernel/events.js';
import { armFailPoints, type FailPoint } from '../../src/kernel/fail-points.js';

export const ACTIONS = ['throw', 'kill', 'hang'] as const;
export type Action = (typeof ACTIONS)[number];

export interface Fault {
  readonly point: FailPoint;
  /** A number: stands still for so many milliseconds, and goes on. */
  readonly action: Action | number;
  /** At which visit of the point it happens. */
  readonly visit: number;
}

/** Lets one fault happen in this process, once, and tells the parent just before. */
export function inject(events: Events, { point, action, visit }: Fault): void {
  let visits = 0;
  armFailPoints(events, async (name) => {
    if (name !== point || ++visits !== visit) return;
    await new Promise((resolve) => process.send!({ injected: point }, resolve));
    if (action === 'throw') throw new Error(`injected at ${point}`);
    if (action === 'kill') process.kill(process.pid, 'SIGKILL');
    if (typeof action === 'number') return new Promise((resolve) => setTimeout(resolve, action));
    await new Promise(() => {}); // the work never goes on; the process lives, and holds what it holds
  });
}
