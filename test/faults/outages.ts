import { randomBytes } from 'node:crypto';
import type { CqrsEventName } from '../../src/kernel/events.js';
import { sqlState } from '../../src/kernel/describe-error.js';
import { Child } from './child.ts';
import { holding } from './holder.ts';
import type { Fault } from './injection.ts';
import { withDiskFull } from './disk-full.ts';
import { healthProblems } from './health.ts';
import type { Result } from './result.ts';
import { openMaster, openReplica, Plain, queueOf, type Scene } from './scene.ts';
import type { Servers } from './servers/servers.ts';
import type { Stage } from './stage.ts';
import { Verdicts } from './verdicts.ts';
import { eventually } from './within.ts';
import { poisonKeys, type Round, write as writeRound } from './workload.ts';

/** Where one case takes place, and whom it may watch. */
interface Place {
  readonly servers: Servers;
  readonly stage: Stage;
  readonly relay: Child;
  readonly worker: Child;
  readonly base: number;
  /** What `cqrs status` says on either side. */
  readonly verdicts: { readonly master: Verdicts; readonly replica: Verdicts };
  /** Writes that go on while the fault does. */
  write(): Promise<void>;
  /** Resolves when nothing is on its way. */
  atRest(): Promise<void>;
}

/** A server fails, or says no. */
export interface OutageCase {
  readonly name: 'network.broker' | 'network.database' | 'network.worker';
  readonly action: string;
  /** Brings it, lets the application write in the middle of it, and returns when it is over: how often it happened. */
  readonly bring: (place: Place) => Promise<number>;
  /** What the processes say about it. */
  readonly heard: { readonly relay?: readonly CqrsEventName[]; readonly worker?: readonly CqrsEventName[] };
  readonly settings?: Pick<Scene, 'relay' | 'replica'>;
  /** How old a backlog may be in the eyes of either side. Default: a minute. */
  readonly backlogSeconds?: { readonly master?: number; readonly replica?: number };
  /** What happens inside the worker meanwhile. */
  readonly worker?: Fault;
}

const LOCK_OUTBOX = 'lock cqrs_outbox in access exclusive mode';
const LOCK_REPLICA = 'lock fault_plain, fault_watched in access exclusive mode';
const DISK_FULL = '53100';
const goneAndBack = ['cqrs.transport.disconnected', 'cqrs.transport.connected'] as const;
const failing = { relay: ['cqrs.relay.failed'], worker: ['cqrs.inbox.failed'] } as const;

export const OUTAGES: readonly OutageCase[] = [
  {
    name: 'network.broker',
    action: 'stopped and started',
    heard: { relay: goneAndBack, worker: goneAndBack },
    bring: async ({ servers, verdicts, write }) => {
      await servers.rabbitmq.pauseApp();
      await write();
      await giveBoth(verdicts, 'broker-away');
      await servers.rabbitmq.resumeApp();
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'crashed and started',
    heard: { relay: goneAndBack, worker: goneAndBack },
    bring: async ({ servers, verdicts, write }) => {
      await servers.rabbitmq.stop('crash');
      await write();
      await giveBoth(verdicts, 'broker-away');
      await servers.rabbitmq.start();
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'memory alarm',
    heard: { relay: ['cqrs.transport.blocked', 'cqrs.relay.failed', 'cqrs.transport.unblocked'] },
    backlogSeconds: { master: 2 },
    bring: async ({ servers, verdicts, write, relay }) => {
      await servers.rabbitmq.raiseMemoryAlarm();
      await write();
      await relay.hears('cqrs.transport.blocked');
      await relay.hears('cqrs.relay.failed');
      await give(verdicts.master, 'blocked', 'backlog-old');
      await servers.rabbitmq.liftMemoryAlarm();
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'queue deleted',
    heard: { worker: ['cqrs.inbox.failed', 'cqrs.inbox.gap'] },
    bring: async ({ servers, stage, worker, verdicts, write, atRest }) => {
      await atRest(); // what is in a queue goes with it
      await servers.rabbitmq.eval(
        `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queueOf(stage.scene)}">>)), rabbit_amqqueue:delete(Q, false, false, <<"operator">>)`,
      );
      await worker.hears('cqrs.inbox.gap');
      await verdicts.replica.notes('cqrs.inbox.gap');
      await write();
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'channels closed',
    heard: { worker: ['cqrs.inbox.failed'] },
    bring: async ({ servers, write }) => {
      const [closed] = await Promise.all([servers.rabbitmq.failChannels(), write()]);
      return closed;
    },
  },
  {
    name: 'network.broker',
    action: 'connections closed',
    heard: { relay: goneAndBack, worker: goneAndBack },
    bring: async ({ servers, write }) => {
      await Promise.all([servers.rabbitmq.closeConnections(), write()]);
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'consumer timeout',
    heard: { worker: ['cqrs.inbox.failed'] },
    // Longer than the broker's patience: it closes the channel and gives the messages out again.
    worker: { point: 'inbox.after-receive', action: 5_000, visit: 2 },
    bring: async ({ worker, write }) => {
      await write();
      await worker.says('injected');
      await worker.hears('cqrs.inbox.failed');
      return 1;
    },
  },
  ...(['fast', 'immediate'] as const).map((mode): OutageCase => ({
    name: 'network.database',
    action: mode === 'fast' ? 'stopped and started' : 'crashed and started',
    heard: { relay: ['cqrs.relay.failed'] },
    bring: async ({ servers, verdicts, write, relay }) => {
      await servers.postgres.stop(mode);
      await relay.hears('cqrs.relay.failed');
      await giveBoth(verdicts, 'database-away');
      await servers.postgres.start();
      await write();
      return 1;
    },
  })),
  {
    name: 'network.database',
    action: 'connections terminated',
    heard: failing,
    bring: async ({ servers, stage, write }) => {
      // In the middle of their transactions: both wait for locks that somebody else holds.
      await using replica = await holding(stage.scene.replicaUrl, LOCK_REPLICA);
      await write();
      await replica.untilWaiting(stage);
      await using master = await holding(stage.scene.masterUrl, LOCK_OUTBOX);
      await master.untilWaiting(stage, '%"committedAtMs"%'); // the relay reads; counts of what waits do, too
      const ended = await servers.postgres.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'",
      );
      return ended.length;
    },
  },
  {
    name: 'network.worker',
    action: 'stands still, and has a backlog',
    heard: {},
    backlogSeconds: { replica: 2 },
    bring: async ({ stage, worker, verdicts, write }) => {
      worker.suspend();
      await write();
      await eventually(10_000, async () => (await stage.master.cqrs.outboxState())!.depth === 0);
      // Its age is all that is to come: nothing happens meanwhile that could be waited for.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      worker.resume();
      await give(verdicts.replica, 'backlog-old');
      await worker.calls('degraded');
      return 1;
    },
  },
  {
    name: 'network.database',
    action: 'deadlock',
    heard: { worker: ['cqrs.inbox.failed'] },
    bring: async ({ stage, base, write }) => {
      const [first, second, third] = [base + 1, base + 2, base + 3];
      const em = stage.master.orm.em.fork();
      await em.insertMany(
        Plain,
        [first, second, third].map((id) => ({ id, value: 0, text: 'new' })),
      );
      await eventually(10_000, async () => (await stage.replicaValue(third)) === 0);
      const { replicaUrl } = stage.scene;
      const lock = (id: number): string => `update fault_plain set text = text where id = ${id}`;
      // Holds the worker until the other two changes are there, so that they come in one batch.
      await using gate = await holding(replicaUrl, lock(first));
      await using rival = await holding(replicaUrl, `set local deadlock_timeout = '1min'; ${lock(third)}`);
      await em.nativeUpdate(Plain, { id: first }, { value: 1 });
      await gate.untilWaiting(stage);
      await em.nativeUpdate(Plain, { id: { $in: [second, third] } }, { value: 2 });
      await eventually(10_000, async () => (await stage.master.cqrs.outboxState())!.depth === 0);
      await gate.release();
      await rival.untilWaiting(stage);
      // Now the worker has the second row and wants the third; this one has the third and wants the second.
      await Promise.all([rival.run(lock(second)), write()]);
      return 1;
    },
  },
  {
    name: 'network.database',
    action: 'serialization failure',
    heard: { worker: ['cqrs.inbox.failed'] },
    bring: async ({ servers, worker, write }) => {
      await servers.postgres.sql(refusing(3, '40001'), 'replica');
      await write();
      await worker.hears('cqrs.inbox.failed');
      await servers.postgres.sql(
        'drop sequence faults_refused cascade; drop function faults_refuse cascade',
        'replica',
      );
      return 1;
    },
  },
  {
    name: 'network.database',
    action: 'outbox disk full',
    heard: {},
    bring: async ({ servers, stage, relay, base, write }) => {
      const id = base + 4;
      let committed = -1;
      relay.suspend(); // it would make room as fast as we take it
      await withDiskFull(servers.postgres, 'master', 'cqrs_outbox', async () => {
        let refusal: unknown;
        // As much as its pages have room for, and then one more.
        while (refusal === undefined) {
          const row = { id, value: committed + 1, text: randomBytes(100).toString('hex') };
          await stage.master.orm.em
            .fork()
            .upsert(Plain, row)
            .then(
              () => committed++,
              (error: unknown) => (refusal = error),
            );
        }
        if (sqlState(refusal) !== DISK_FULL) throw refusal;
        const row = await stage.master.orm.em.fork().findOne(Plain, id);
        if ((row?.value ?? -1) !== committed) throw new Error('a row was written without its message');
        relay.resume();
      });
      await write();
      return 1;
    },
  },
  {
    name: 'network.database',
    action: 'replica disk full',
    heard: { worker: ['cqrs.inbox.failed'] },
    bring: async ({ servers, worker, write }) => {
      await withDiskFull(servers.postgres, 'replica', 'fault_plain', async () => {
        await write();
        await worker.hears('cqrs.inbox.failed');
      });
      return 1;
    },
  },
  {
    name: 'network.database',
    action: 'statement timeout',
    heard: { relay: ['cqrs.relay.failed'], worker: ['cqrs.replica.query-timed-out', 'cqrs.inbox.retried'] },
    settings: { replica: { queryTimeoutMs: 500, maxRetries: 30 } },
    bring: async ({ servers, stage, relay, worker, write }) => {
      await servers.postgres.sql("alter database master set statement_timeout = '500ms'");
      await servers.postgres.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'master' and state = 'idle'",
      );
      await using _replica = await holding(stage.scene.replicaUrl, LOCK_REPLICA);
      await write();
      await worker.hears('cqrs.replica.query-timed-out');
      await using _master = await holding(stage.scene.masterUrl, LOCK_OUTBOX);
      await relay.hears('cqrs.relay.failed');
      await servers.postgres.sql('alter database master reset statement_timeout');
      return 2;
    },
  },
];

async function give(verdicts: Verdicts, ...codes: Parameters<Verdicts['gives']>[0][]): Promise<void> {
  for (const code of codes) await verdicts.gives(code);
}

async function giveBoth({ master, replica }: Place['verdicts'], code: Parameters<Verdicts['gives']>[0]): Promise<void> {
  await Promise.all([give(master, code), give(replica, code)]);
}

/** Who says so is not ready for the moment. */
const LASTING: ReadonlySet<CqrsEventName> = new Set([
  'cqrs.transport.disconnected',
  'cqrs.transport.blocked',
  'cqrs.relay.failed',
  'cqrs.inbox.failed',
]);

/** Within this time after the outage everything is equal again, by the same processes. */
const RECOVERY_MS = 30_000;

/** Writes while a server is in trouble; nobody restarts the processes. */
export async function runOutage(stage: Stage, one: OutageCase, base: number, seed: number): Promise<Result> {
  const { name, action, heard, settings, worker: fault } = one;
  const { servers } = stage;
  const scene = { ...stage.scene, ...settings };
  const [masterScene, replicaScene] = (['master', 'replica'] as const).map((side) => ({
    ...scene,
    health: one.backlogSeconds?.[side] ? { backlogSeconds: one.backlogSeconds[side] } : {},
  })) as [Scene, Scene];
  if (fault) await servers.rabbitmq.setConsumerTimeout(1_500);
  const [relay, worker] = await Promise.all([
    Child.start('master', masterScene),
    Child.start('worker', replicaScene, fault),
  ]);
  if (fault) await servers.rabbitmq.setConsumerTimeout(1_800_000);
  const problems: string[] = [];
  const verdicts = {
    master: await Verdicts.of('master', () => openMaster(masterScene)),
    replica: await Verdicts.of('replica', () => openReplica(replicaScene)),
  };
  const rounds = [1, 2].map((round): Round => ({ base, round, seed }));
  const settled = async (written: readonly Round[]): Promise<boolean> =>
    stage.settled(base, (await stage.existing(written.flatMap(poisonKeys))).length, RECOVERY_MS);

  await writeRound(stage.master.orm, rounds[0]!);
  for (const child of [relay, worker]) child.listen();
  const injected = await one.bring({
    servers,
    stage,
    relay,
    worker,
    verdicts,
    base,
    write: async () => void (await writeRound(stage.master.orm, rounds[1]!)),
    atRest: async () => void (await settled([rounds[0]!])),
  });
  const overAt = performance.now();
  if (!(await settled(rounds)))
    problems.push(`not at rest after ${RECOVERY_MS / 1_000} s: ${await stage.describe(base)}`);
  const recoveryMs = Math.round(performance.now() - overAt);

  const late = one.backlogSeconds?.replica ? [worker] : [];
  for (const [child, events] of [
    [relay, heard.relay ?? []],
    [worker, heard.worker ?? []],
  ] as const) {
    for (const event of events) if (!(await child.hears(event))) problems.push(`nobody said ${event}`);
    if (!child.running) problems.push('a process ended');
    problems.push(
      ...(await healthProblems(child, {
        degrades: late.includes(child) || events.some((event) => LASTING.has(event)),
      })),
    );
  }
  problems.push(...(await verdicts.master.end()), ...(await verdicts.replica.end()));
  const poison = await stage.existing(rounds.flatMap(poisonKeys));
  const stopped = await Promise.all([relay.stop(), worker.stop()]);
  if (stopped.includes(false)) problems.push('a process did not stop when told');
  const end = await stage.endOfCase(base, poison);
  return { name, action, seed, injected, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}

/** A trigger by which the database refuses so many writes of the replica, with this state. */
function refusing(times: number, state: string): string {
  return `create sequence faults_refused;
    create function faults_refuse() returns trigger language plpgsql as $$ begin
      -- A sequence does not take part in the rollback that follows.
      if nextval('faults_refused') <= ${times} then raise exception 'refused' using errcode = '${state}'; end if;
      return null;
    end $$;
    create trigger faults_refuse after insert or update on fault_plain execute function faults_refuse()`;
}
