import { FAIL_POINTS, type FailPoint } from '../../src/kernel/fail-points.js';
import { Child, type Role } from './child.ts';
import { ACTIONS, type Action } from './injection.ts';
import type { Result } from './result.ts';
import type { Stage } from './stage.ts';
import { generator, poisonKeys, type Round, write } from './workload.ts';

export interface MatrixCase {
  readonly point: FailPoint;
  readonly action: Action;
}

export const MATRIX: readonly MatrixCase[] = FAIL_POINTS.flatMap((point) =>
  ACTIONS.map((action) => ({ point, action })),
);

/** How long a process that hangs is left alone before it is killed. */
const HANG_MS = 500;
/** Within this time everything is equal again, the restart of the process included. */
export const RECOVERY_MS = 30_000;

const roleOf = (point: FailPoint): Role => (/^(master|relay)\./.test(point) ? 'master' : 'worker');

/** Writes, lets one fault happen, restarts what died of it, writes again, and looks at what is left. */
export async function runCase(
  stage: Stage,
  { point, action }: MatrixCase,
  base: number,
  seed: number,
): Promise<Result> {
  const role = roleOf(point);
  // Retries and dead letters are few: the second of them may be in a batch that the first one's fault ends.
  const visit = point.startsWith('inbox.while-') ? 1 : 1 + generator(seed)(3);
  const counterpart = role === 'master' ? stage.replica.cqrs.createConsumer() : stage.master.cqrs.createRelay();
  await counterpart.start();
  let child = await Child.start(role, { ...stage.scene, health: { stuckSeconds: 1 } }, { point, action, visit });
  const rounds = [1, 2].map((round): Round => ({ base, round, seed }));
  const problems: string[] = [];

  const begin = async (round: Round): Promise<void> => {
    if (role === 'master') child.write(round);
    else await write(stage.master.orm, round);
  };
  await begin(rounds[0]!);
  await child.says('injected');
  const injectedAt = performance.now();
  if (action === 'hang') {
    // The application's own transactions are nobody's step.
    if (point.startsWith('master.')) await new Promise((resolve) => setTimeout(resolve, HANG_MS));
    else if (!(await child.calls('dead'))) problems.push('it did not call itself dead');
  }
  if (action === 'throw') {
    if (role === 'master') await child.says('written');
  } else {
    await (action === 'kill' ? child.gone() : child.kill());
    child = await Child.start(role, stage.scene);
  }
  await begin(rounds[1]!);
  if (role === 'master') await child.says('written');

  const poison = await stage.existing(rounds.flatMap(poisonKeys));
  if (!(await stage.settled(base, poison.length, RECOVERY_MS))) problems.push('not at rest');
  const recoveryMs = Math.round(performance.now() - injectedAt);
  if (!child.running) problems.push('the process ended');

  const [stopped] = await Promise.all([child.stop(), counterpart.stop()]);
  if (!stopped) problems.push('the process did not stop when told');
  const end = await stage.endOfCase(base, poison);
  return { name: point, action, seed, injected: 1, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}
