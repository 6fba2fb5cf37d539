import { Child, type Role } from './child.ts';
import type { Result } from './result.ts';
import { openMaster, openReplica } from './scene.ts';
import type { Stage } from './stage.ts';
import { Proxy } from './proxy.ts';
import { healthProblems } from './health.ts';
import { Verdicts } from './verdicts.ts';
import { eventually } from './within.ts';
import { poisonKeys, type Round, write } from './workload.ts';

const ROLES = ['relay', 'worker'] as const;
const SERVERS = ['broker', 'database'] as const;

export interface NetworkCase {
  readonly name: string;
  readonly action: Trouble;
  readonly role: (typeof ROLES)[number];
  readonly server: (typeof SERVERS)[number];
}

type Trouble = 'reset' | 'black hole' | 'latency' | 'trickle' | 'flapping';

/** Brings the trouble, and returns when it is over. */
const TROUBLES: Readonly<Record<Trouble, (proxy: Proxy) => Promise<void>>> = {
  reset: async (proxy) => proxy.reset(),
  'black hole': async (proxy) => {
    proxy.swallow();
    await lasting(6_000); // the longest silence that may go by is that of a query, two seconds, and of a heartbeat, four
    proxy.heal();
  },
  latency: async (proxy) => {
    proxy.delay(100);
    await lasting(2_000);
    proxy.heal();
  },
  trickle: async (proxy) => {
    proxy.trickle(200);
    await lasting(2_000);
    proxy.heal();
  },
  flapping: async (proxy) => {
    for (let time = 0; time < 5; time++) {
      proxy.refuse();
      await lasting(200);
      proxy.heal();
      await lasting(300);
    }
  },
};

export const NETWORK: readonly NetworkCase[] = ROLES.flatMap((role) =>
  SERVERS.flatMap((server) =>
    (Object.keys(TROUBLES) as Trouble[]).map((action) => ({ name: `network.${role}-${server}`, action, role, server })),
  ),
);

/** Lasts too long to go by unnoticed. */
const DEGRADES: ReadonlySet<Trouble> = new Set(['black hole', 'flapping']);

/** Within this time after the trouble everything is equal again, by the same process. */
const RECOVERY_MS = 20_000;

/** Writes while the connection of one process to one server is in trouble; nobody restarts that process. */
export async function runNetworkCase(stage: Stage, one: NetworkCase, base: number, seed: number): Promise<Result> {
  const { name, action, server, role } = one;
  const { masterUrl, replicaUrl, amqpUrl } = stage.scene;
  const child: Role = role === 'relay' ? 'master' : 'worker';
  const databaseUrl = child === 'master' ? masterUrl : replicaUrl;
  await using proxy = await (server === 'broker' ? Proxy.before(amqpUrl) : Proxy.before(databaseUrl));
  const troubled = {
    [server === 'broker' ? 'amqpUrl' : `${child === 'master' ? 'master' : 'replica'}Url`]: proxy.through(
      server === 'broker' ? amqpUrl : databaseUrl,
    ),
  };
  const counterpart = child === 'master' ? stage.replica.cqrs.createConsumer() : stage.master.cqrs.createRelay();
  await counterpart.start();
  const process = await Child.start(child, { ...stage.scene, ...troubled });
  const problems: string[] = [];
  const verdicts = [
    await Verdicts.of('master', () => openMaster(stage.scene)),
    await Verdicts.of('replica', () => openReplica(stage.scene)),
  ];
  const [first, second] = [1, 2].map((round): Round => ({ base, round, seed }));

  if (!(await process.calls('healthy'))) problems.push('it did not call itself healthy');
  process.listen();
  // Idle pools may have no connection yet, and trouble without one would be none.
  await write(stage.master.orm, first!);
  await eventually(5_000, async () => proxy.connections > 0);
  const injected = proxy.connections;
  await Promise.all([TROUBLES[action](proxy), write(stage.master.orm, second!)]);
  const overAt = performance.now();

  const poison = await stage.existing([first!, second!].flatMap(poisonKeys));
  if (!(await stage.settled(base, poison.length, RECOVERY_MS)))
    problems.push(`not at rest after ${RECOVERY_MS / 1_000} s`);
  const recoveryMs = Math.round(performance.now() - overAt);
  if (!process.running) problems.push('the process ended');
  problems.push(...(await healthProblems(process, { degrades: DEGRADES.has(action) })));
  for (const side of verdicts) problems.push(...(await side.end()));
  const [stopped] = await Promise.all([process.stop(), counterpart.stop()]);
  if (!stopped) problems.push('the process did not stop when told');
  const end = await stage.endOfCase(base, poison);
  return { name, action, seed, injected, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}

function lasting(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
