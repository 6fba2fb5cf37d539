import fc from 'fast-check';
import type { Proxy } from '../faults/proxy.ts';
import { queueOf } from '../faults/scene.ts';
import type { Arena } from './arena.ts';
import type { KeptProcess } from './kept-process.ts';

/** One fault: what, to whom, for how long. */
export interface Fault {
  readonly kind: keyof typeof FAULTS;
  /** Which of those it may happen to. */
  readonly whom: number;
  readonly lastsMs: number;
}

type Bring = (arena: Arena, fault: Fault) => boolean | Promise<boolean>;

const of = <T>(all: readonly T[], { whom }: Fault): T => all[whom % all.length]!;
const victim = (arena: Arena, fault: Fault): KeptProcess => of(arena.processes, fault);
/** Any of the wires: of each process to the broker and to its database, and of the writer to its own. */
const wire = (arena: Arena, fault: Fault): Proxy =>
  of([...arena.processes.flatMap(({ wires }) => [wires.broker, wires.database]), arena.writerWire], fault);

function trouble(begin: (proxy: Proxy) => void): Bring {
  return (arena, fault) => {
    const proxy = wire(arena, fault);
    if (proxy.connections === 0) return false; // trouble without a connection is none
    begin(proxy);
    setTimeout(() => proxy.heal(), fault.lastsMs);
    return true;
  };
}

/** One at a time: what happens to a server takes longer than what follows it. */
function toServer(begin: (arena: Arena, fault: Fault) => Promise<unknown>): Bring {
  return (arena, fault) => {
    if (arena.undergoing) return false;
    arena.undergo(begin(arena, fault));
    return true;
  };
}

const lasting = ({ lastsMs }: Fault): Promise<void> => new Promise((resolve) => setTimeout(resolve, lastsMs));

/** Answers whether it happened: a fault that hits nobody is not counted. */
const FAULTS = {
  'kill -9': (arena, fault) => victim(arena, fault).kill(),
  freeze: (arena, fault) => victim(arena, fault).freeze(fault.lastsMs * 3),
  reset: trouble((proxy) => proxy.reset()),
  'black hole': trouble((proxy) => proxy.swallow()),
  latency: trouble((proxy) => proxy.delay(80)),
  trickle: trouble((proxy) => proxy.trickle(300)),
  partition: trouble((proxy) => proxy.refuse()),
  'connections terminated': async ({ servers, stage }, fault) => {
    const database = of([stage.scene.masterUrl, stage.scene.replicaUrl], fault).split('/').at(-1);
    const ended = await servers.postgres
      .sql(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}' and random() < 0.5`)
      .catch(() => []); // the server is away itself
    return ended.length > 0;
  },
  'channels closed': toServer(({ servers }) => servers.rabbitmq.failChannels()),
  'connections closed': toServer(({ servers }) => servers.rabbitmq.closeConnections()),
  'memory alarm': toServer(async ({ servers }, fault) => {
    await servers.rabbitmq.raiseMemoryAlarm();
    await lasting(fault);
    await servers.rabbitmq.liftMemoryAlarm();
  }),
  'broker restarted': toServer(async ({ servers }, fault) => {
    await servers.rabbitmq.pauseApp();
    await lasting(fault);
    await servers.rabbitmq.resumeApp();
  }),
  'broker crashed': toServer(async ({ servers }) => {
    await servers.rabbitmq.stop('crash');
    await servers.rabbitmq.start();
  }),
  'database crashed': toServer(async ({ servers }) => {
    await servers.postgres.stop('immediate');
    await servers.postgres.start();
  }),
} as const satisfies Record<string, Bring>;

const WEIGHTS: Readonly<Record<keyof typeof FAULTS, number>> = {
  'kill -9': 8,
  freeze: 4,
  reset: 12,
  'black hole': 5,
  latency: 4,
  trickle: 4,
  partition: 6,
  'connections terminated': 10,
  'channels closed': 2,
  'connections closed': 1,
  'memory alarm': 1,
  'broker restarted': 1,
  'broker crashed': 1,
  'database crashed': 2,
};

export const anyFault: fc.Arbitrary<Fault> = fc.record({
  kind: fc.oneof(
    ...(Object.keys(FAULTS) as Fault['kind'][]).map((kind) => ({
      weight: WEIGHTS[kind],
      arbitrary: fc.constant(kind),
    })),
  ),
  whom: fc.nat(1_000),
  lastsMs: fc.integer({ min: 100, max: 1_500 }),
});

/** Lets it happen; answers whether it hit anybody. */
export async function bring(arena: Arena, one: Fault): Promise<boolean> {
  return FAULTS[one.kind](arena, one);
}

/** Repeats the state of some rows, to all queues or to one. */
export async function sync(
  { writer, stage }: Arena,
  { cqrsId, base, targeted, signal }: { cqrsId: string; base: number; targeted: boolean; signal: AbortSignal },
): Promise<void> {
  const filter = { id: { $gte: base, $lt: base + 100 } };
  await writer.cqrs.sync({ cqrsId, filter, signal, ...(targeted ? { queue: queueOf(stage.scene) } : {}) });
}
