import { setTimeout as sleep } from 'node:timers/promises';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import type { ReconcileReport } from '../../src/operations/reconcile/report.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { twoServices, type TwoServices } from '../support/two-services.js';

const AccountSchema = defineEntity({
  name: 'ScaleAccount',
  tableName: 'account',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    balance: p.decimal('string').precision(12).scale(2),
    openedAt: p.datetime().columnType('timestamptz(6)'),
  },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const AccountRefSchema = defineEntity({
  name: 'ScaleAccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string(),
    balance: p.decimal('string').precision(12).scale(2),
    openedAt: p.datetime().columnType('timestamptz(6)'),
  },
});
class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);

const FAULTS = { missing: 3, extra: 2, stale: 2, damaged: 3 };

/** The same rows on both ends, ten faults on the replica, and writes that go on: exactly the ten are found and repaired. */
export async function runReconcile({
  rows,
  writesPerSecond,
  say,
}: {
  rows: number;
  writesPerSecond: number;
  say: (line: string) => void;
}): Promise<boolean> {
  await using services = await twoServices({ masters: [Account], replicas: [AccountRef] });
  await fill(services, rows);
  const faulty = await injectFaults(services, rows);
  const writing = new AbortController();
  const written = writeOn(services, { rows, faulty, perSecond: writesPerSecond, signal: writing.signal });
  const before = process.memoryUsage().rss;
  let peak = before;
  const watching = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 50);
  const options = { cqrsId: 'account', queue: services.queue, timeoutSeconds: 300 };
  const report = await reconcile(services.master.cqrs, options);
  clearInterval(watching);
  writing.abort();
  const writes = await written;
  const again = await reconcile(services.master.cqrs, { ...options, dryRun: true });
  const found = report.sample.map(({ key }) => Number(key)).toSorted((a, b) => a - b);
  const { questions, questionBytes, repairs, repairBytes } = report.traffic;
  say(`${rows} rows, ${writes} writes meanwhile: ${(report.durationMs / 1_000).toFixed(1)} s`);
  say(`found ${JSON.stringify(counts(report))}, ${report.repaired} repaired, ${report.unsettled} in flight`);
  say(`${questions} questions and answers of ${questionBytes} bytes, ${repairs} repairs of ${repairBytes} bytes`);
  say(`memory of the process: at most ${Math.round((peak - before) / 1e6)} MB more than before`);
  say(`second look: ${JSON.stringify(counts(again))}`);
  return (
    JSON.stringify(counts(report)) === JSON.stringify(FAULTS) &&
    JSON.stringify(found) === JSON.stringify(faulty) &&
    report.repaired === 10 &&
    Object.values(counts(again)).every((count) => count === 0)
  );
}

function counts({ missing, extra, stale, damaged }: ReconcileReport): typeof FAULTS {
  return { missing, extra, stale, damaged };
}

async function fill({ master, replica }: TwoServices, rows: number): Promise<void> {
  const columns = `id, name, balance, opened_at, cqrs_revision, cqrs_updated, cqrs_incarnation`;
  const made = `select n, 'Account ' || n, n * 1.25, t.at + n * interval '1 second', n % 4, t.at, 1700000000000000 + n
    from generate_series(1, ${rows}) n, (values ('2024-01-02 03:04:05.123456+00'::timestamptz)) as t(at)`;
  await master.cqrs.withoutReplication(() =>
    master.orm.em.getConnection().execute(`insert into account (${columns}) ${made} /* cqrs */`),
  );
  await replica.orm.em.getConnection().execute(`insert into account_ref (${columns}) ${made}`);
}

/** @returns the keys, sorted. */
async function injectFaults({ replica }: TwoServices, rows: number): Promise<number[]> {
  const sql = (text: string): Promise<unknown> => replica.orm.em.getConnection().execute(text);
  const at = (share: number): number => Math.floor(rows * share);
  const missing = [1, at(0.4), rows];
  const stale = [at(0.2) + 1, at(0.6) + 1];
  const damaged = [at(0.1) + 2, at(0.5) + 2, at(0.9) + 2];
  const extra = [rows + 1_000_001, rows + 1_000_002];
  await sql(`delete from account_ref where id in (${missing.join()})`);
  await sql(`update account_ref set cqrs_revision = cqrs_revision - 1, name = 'old' where id in (${stale.join()})`);
  await sql(`update account_ref set balance = balance + 0.01 where id in (${damaged.join()})`);
  await sql(`insert into account_ref (id, name, balance, opened_at, cqrs_revision, cqrs_updated, cqrs_incarnation)
    select n, 'extra', 1, now(), 0, '2024-01-02', 1 from unnest(array[${extra.join()}]) n`);
  return [...missing, ...stale, ...damaged, ...extra].toSorted((a, b) => a - b);
}

/** Changes random rows through MikroORM, those with a fault aside. @returns how many */
async function writeOn(
  { master }: TwoServices,
  { rows, faulty, perSecond, signal }: { rows: number; faulty: number[]; perSecond: number; signal: AbortSignal },
): Promise<number> {
  let count = 0;
  while (!signal.aborted) {
    const id = 1 + Math.floor(Math.random() * rows);
    if (!faulty.includes(id))
      count += await master.orm.em.fork().nativeUpdate(Account, { id }, { name: `write ${count}` });
    await sleep(1_000 / perSecond);
  }
  return count;
}
