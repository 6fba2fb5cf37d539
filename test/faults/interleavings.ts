import { deletedDiffMaster, deletedDiffReplica, deletedSyncReplica } from '../../src/operations/deleted-diff.js';
import { Child } from './child.ts';
import type { Result } from './result.ts';
import { raiseIncarnations } from '../../src/operations/raise-incarnations.js';
import { openMaster, Plain, queueOf, type Service } from './scene.ts';
import { OwnPostgres } from './servers/own-postgres.ts';
import type { Stage } from './stage.ts';
import { eventually, within } from './within.ts';

export interface InterleavingCase {
  readonly name: string;
  readonly action: string;
  readonly run: (stage: Stage, base: number, seed: number) => Promise<Result>;
}

export const INTERLEAVINGS: readonly InterleavingCase[] = [
  { name: 'interleaving.relay', action: 'paused past its takeover', run: pausedRelay },
  { name: 'interleaving.fail-over', action: 'to a stand-by that lacks the last commits', run: failOver },
  { name: 'clock.master', action: 'set back by a minute', run: clockBack },
];

/** How long a frozen relay keeps its claim, as `relay.publishTimeoutMs` says: twice that. */
const PUBLISH_TIMEOUT_MS = 1_000;

/**
 * A relay stands still with messages in hand. The database gives its claim to another, which sends them, and newer ones of
 * the same rows. Then the first goes on, and sends what is old by now.
 */
async function pausedRelay(stage: Stage, base: number, seed: number): Promise<Result> {
  const scene = { ...stage.scene, relay: { publishTimeoutMs: PUBLISH_TIMEOUT_MS } };
  const worker = await Child.start('worker', scene);
  const paused = await Child.start('master', scene, { point: 'relay.before-publish', action: 300, visit: 1 });
  const problems: string[] = [];
  const em = stage.master.orm.em.fork();
  const ids = [base + 1, base + 2, base + 3];
  await em.insertMany(
    Plain,
    ids.map((id) => ({ id, value: 0, text: 'old' })),
  );
  await paused.says('injected');
  paused.suspend();
  const takenOverAt = performance.now();
  const other = await Child.start('master', scene);
  await em.nativeUpdate(Plain, { id: base + 1 }, { value: 1 });
  await em.nativeDelete(Plain, { id: base + 2 });
  const takenOver = async (): Promise<boolean> =>
    (await stage.replicaValue(base + 1)) === 1 && (await stage.replicaValue(base + 3)) === 0;
  if (!(await eventually(15_000, takenOver))) problems.push('nobody took over');
  const recoveryMs = Math.round(performance.now() - takenOverAt);
  paused.resume();
  if (!(await paused.hears('cqrs.relay.failed'))) problems.push('the first relay did not notice');
  await other.stop();
  // It goes on as if nothing had been.
  await em.insert(Plain, { id: base + 4, value: 4, text: 'later' });
  if (!(await stage.settled(base, 0, 20_000))) problems.push(`not at rest: ${await stage.describe(base)}`);
  const stopped = await Promise.all([paused.stop(), worker.stop()]);
  if (stopped.includes(false)) problems.push('a process did not stop when told');
  const end = await stage.endOfCase(base, []);
  const { name, action } = INTERLEAVINGS[0]!;
  return { name, action, seed, injected: 1, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}

/**
 * The master's database fails over to a stand-by that has not received the last commits, of which replicas have heard
 * already. What docs/operating.md says for that makes both equal again, though revisions are issued a second time.
 */
async function failOver(stage: Stage, base: number, seed: number): Promise<Result> {
  await using primary = await OwnPostgres.create();
  const problems: string[] = [];
  const worker = await Child.start('worker', stage.scene);
  const scene = { ...stage.scene, masterUrl: primary.url('master') };
  await primary.sql('create database master');
  const before = await openMaster(scene);
  await before.orm.schema.create();
  const row = (offset: number, value: number): { id: number; value: number; text: string } => ({
    id: base + offset,
    value,
    text: 'row',
  });
  await before.orm.em.fork().insertMany(Plain, [row(1, 0), row(2, 0), row(3, 0), row(4, 0)]);
  await using standBy = await primary.standBy();
  await caughtUp(primary, standBy);
  await standBy.sql("alter system set primary_conninfo = ''");
  await standBy.sql('select pg_reload_conf()');
  await eventually(10_000, async () => (await standBy.sql('select from pg_stat_wal_receiver')).length === 0);

  // These commits reach the replica, and not the stand-by.
  const relay = before.cqrs.createRelay();
  await relay.start();
  const em = before.orm.em.fork();
  for (const value of [1, 2, 3]) await em.nativeUpdate(Plain, { id: base + 1 }, { value });
  await em.nativeDelete(Plain, { id: base + 2 });
  await em.insert(Plain, row(5, 5));
  const heard = async (): Promise<boolean> =>
    (await stage.replicaValue(base + 5)) === 5 &&
    (await stage.replicaValue(base + 1)) === 3 &&
    (await stage.replicaValue(base + 2)) === undefined;
  if (!(await eventually(15_000, heard))) problems.push('the last commits did not reach the replica');
  await primary.stop('immediate');
  await relay.stop();
  await before.cqrs.stop();
  await within(10_000, 'closing', before.orm.close());
  const failedAt = performance.now();
  await standBy.promote();

  const after = await openMaster({ ...scene, masterUrl: standBy.url('master') });
  await afterFailOver(after, stage.replica, queueOf(stage.scene));
  // Revisions 1 and 2 of this row again, in its new incarnation.
  const again = after.orm.em.fork();
  await again.nativeUpdate(Plain, { id: base + 1 }, { value: 10 });
  await again.nativeUpdate(Plain, { id: base + 4 }, { value: 40 });
  const other = stage.over(after);
  await using successor = after.cqrs.createRelay();
  await successor.start();
  if (!(await other.settled(base, 0, 20_000))) problems.push(`not at rest: ${await other.describe(base)}`);
  const recoveryMs = Math.round(performance.now() - failedAt);
  await successor.stop();
  const stopped = await worker.stop();
  if (!stopped) problems.push('the worker did not stop when told');
  const end = await other.endOfCase(base, []);
  await after.cqrs.stop();
  await after.orm.close();
  const { name, action } = INTERLEAVINGS[1]!;
  return { name, action, seed, injected: 1, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}

/**
 * The clock of the master's database is set back by a minute, as an NTP step does it, between a deletion and the next use of
 * the key; once more for the next, and then it is right again.
 */
async function clockBack(stage: Stage, base: number, seed: number): Promise<Result> {
  await using postgres = await OwnPostgres.create({ settableClock: true });
  const clock = postgres.clock!;
  const problems: string[] = [];
  await postgres.sql('create database master');
  const scene = { ...stage.scene, masterUrl: postgres.url('master') };
  const service = await openMaster(scene);
  await service.orm.schema.create();
  const other = stage.over(service);
  const [relay, worker] = await Promise.all([Child.start('master', scene), Child.start('worker', stage.scene)]);
  const em = service.orm.em.fork();
  const row = (offset: number, value: number): { id: number; value: number; text: string } => ({
    id: base + offset,
    value,
    text: 'row',
  });
  await em.insertMany(
    Plain,
    [1, 2, 3, 4].map((offset) => row(offset, 0)),
  );
  await em.nativeDelete(Plain, { id: base + 1 });
  const lifted = `select from cqrs_outbox_id_seq where last_value > (extract(epoch from clock_timestamp()) * 1000000)::bigint`;
  const isLifted = async (): Promise<boolean> => (await em.execute<unknown[]>(lifted)).length > 0;
  if (!(await eventually(10_000, isLifted))) problems.push('the sequence was not lifted');
  const backAt = performance.now();
  clock.set(-60);
  await em.insert(Plain, row(1, 1));
  await em.nativeUpdate(Plain, { id: base + 1 }, { value: 2 });
  await em.nativeDelete(Plain, { id: base + 2 });
  if (!(await relay.hears('cqrs.relay.clock-back'))) problems.push('nobody said that the clock went back');
  clock.set(-120);
  await em.insert(Plain, row(2, 3));
  await em.transactional(async (inner) => {
    await inner.nativeDelete(Plain, { id: base + 3 });
    await inner.insert(Plain, row(3, 4));
  });
  clock.set(0);
  await em.nativeUpdate(Plain, { id: base + 4 }, { value: 5 });
  await em.nativeDelete(Plain, { id: base + 1 });
  await em.insert(Plain, row(1, 6));
  if (!(await other.settled(base, 0, 20_000))) problems.push(`not at rest: ${await other.describe(base)}`);
  const recoveryMs = Math.round(performance.now() - backAt);
  const stopped = await Promise.all([relay.stop(), worker.stop()]);
  if (stopped.includes(false)) problems.push('a process did not stop when told');
  const end = await other.endOfCase(base, []);
  await service.cqrs.stop();
  await service.orm.close();
  const { name, action } = INTERLEAVINGS[2]!;
  return { name, action, seed, injected: 2, recoveryMs, ...end, problems: [...problems, ...end.problems] };
}

/** What docs/operating.md tells to do: new incarnations, a sync, and the removal of what only replicas have. */
async function afterFailOver(master: Service, replica: Service, queue: string): Promise<void> {
  for (const cqrsId of ['plain', 'watched']) {
    await raiseIncarnations(master.cqrs, { cqrsId, queues: [queue] });
    await master.cqrs.sync({ cqrsId, newIncarnation: true });
    // Rows of the last second are kept, since the clocks of the two databases may differ; the operator is told, and repeats it.
    const nothingKept = await eventually(10_000, async () => {
      const keys: string[] = [];
      await deletedDiffReplica(replica.cqrs, { cqrsId, write: async (text) => void keys.push(text) });
      const extra: string[] = [];
      await deletedDiffMaster(master.cqrs, stream(keys), { write: async (text) => void extra.push(text) });
      const { kept, failed } = await deletedSyncReplica(replica.cqrs, stream(extra), {});
      return kept + failed === 0;
    });
    if (!nothingKept) throw new Error(`rows of ${cqrsId} could not be removed`);
  }
}

async function* stream(texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** Resolves when the stand-by has replayed all that there is. */
async function caughtUp(primary: OwnPostgres, standBy: OwnPostgres): Promise<void> {
  const [there] = await primary.sql<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
  const replayed = `select from (select pg_last_wal_replay_lsn() >= '${there!.lsn}' as done) as s where done`;
  if (!(await eventually(15_000, async () => (await standBy.sql(replayed)).length > 0)))
    throw new Error('the stand-by does not follow');
}
