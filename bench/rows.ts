import type { Row } from './harness/row.ts';

/** What is measured, in the order of the page: each suite measures some of these rows. */

const WITHOUT = 'the same flush without the plugin';
const RAW = 'raw consume + unnest upsert + ack';
const ITSELF = { goal: 1.1, atMost: true, against: 'itself' } as const;

const DJANGO = 'django-cqrs 3.1.0, pika: one connection, no outbox, no confirm';

/** The row, and the same for teams whose django-cqrs opens a connection to the broker for each message. */
function besideDjango(row: Row): readonly Row[] {
  const each = 'a connection a message, 300 of them';
  return [
    row,
    { ...row, name: `${row.name}-kombu`, against: `django-cqrs 3.1.0, KombuTransport: ${each}` },
    { ...row, name: `${row.name}-3.0`, against: `django-cqrs 3.0.1, pika: ${each}` },
  ];
}

/** What both ways of capture are measured with; the goals: beside plain MikroORM, and beside driver capture. */
const TRIGGERED = [
  { name: 'create-1', work: 'create one row a transaction, 1 connection', unit: 'tx/s', goals: [0.7, 0.8] },
  { name: 'create-8', work: 'create one row a transaction, 8 connections', unit: 'tx/s', goals: [0.7, 0.8] },
  { name: 'update-1', work: 'update one row a transaction, 1 connection', unit: 'tx/s', goals: [0.7, 0.8] },
  { name: 'update-8', work: 'update one row a transaction, 8 connections', unit: 'tx/s', goals: [0.7, 0.8] },
  { name: 'bulk-create', work: 'bulk create of 10,000 rows', unit: 'rows/s', goals: [0.6, 1] },
  { name: 'flush-update', work: 'one flush of 10,000 changed rows', unit: 'rows/s', goals: [0.6, 1] },
] as const;

export const rows: readonly Row[] = [
  ...['create', 'update'].flatMap((work) =>
    [1, 8].map((connections): Row => ({
      name: `${work}-${connections}`,
      work: `${work} one row a transaction, ${connections} connection${connections > 1 ? 's' : ''}`,
      against: WITHOUT,
      unit: 'tx/s',
      goal: 0.8,
    })),
  ),
  {
    name: 'bulk-create',
    work: 'bulk create of 10,000 rows',
    against: 'the same without the plugin',
    unit: 'rows/s',
    goal: 0.6,
    beside: 'django-bulk-create',
  },
  {
    name: 'bulk-update',
    work: 'bulk update of 10,000 rows',
    against: 'raw UPDATE … RETURNING + outbox insert',
    unit: 'rows/s',
    goal: 0.6,
  },
  {
    name: 'flush-update',
    work: 'one flush of 10,000 changed rows',
    against: 'the same flush of plain MikroORM',
    unit: 'rows/s',
    goal: 0.6,
  },
  ...TRIGGERED.flatMap(({ name, work, unit, goals: [plain, driver] }): Row[] => [
    {
      name: `trigger-${name}`,
      work: `${work}, captured by triggers`,
      against: 'the same without the plugin',
      unit,
      goal: plain,
    },
    { name: `trigger-${name}-driver`, work: 'the same', against: 'captured at the driver', unit, goal: driver },
  ]),
  {
    name: 'trigger-relay',
    work: 'relay of what triggers have captured, of which messages are made first',
    against: 'relay of a backlog that driver capture has left',
    unit: 'msg/s',
    goal: 0.4,
  },
  {
    name: 'relay',
    work: 'relay of a backlog',
    against: 'raw claim + pipelined confirms + delete, in order per row beside another relay',
    unit: 'msg/s',
    goal: 0.9,
  },
  ...['classic', 'quorum'].flatMap((type) =>
    ['create', 'update'].map((work): Row => ({
      name: `consume-${work}-${type}`,
      work: `consumer, backlog of ${work}s, fast path, 1 worker, ${type} queue`,
      against: RAW,
      unit: 'rows/s',
      goal: 0.8,
      ...(type === 'classic' && work === 'create' ? { beside: 'django-drain' } : {}),
    })),
  ),
  {
    name: 'consume-hooks',
    work: 'the same updates, hook path (`cqrsUpdate` overridden)',
    against: 'the same upserts through one MikroORM flush per batch',
    unit: 'rows/s',
    goal: 0.8,
  },
  ...['classic', 'quorum'].map((type): Row => ({
    name: `consume-stale-${type}`,
    work: `consumer, all stale, ${type} queue`,
    against: `ours with creates on the same queue (\`consume-create-${type}\`)`,
    unit: 'rows/s',
    goal: 1.3,
  })),
  {
    name: 'django-drain',
    work: 'replica drain, creates, 1 worker',
    against: 'django-cqrs, same backlog, connections kept',
    unit: 'rows/s',
    goal: 50,
  },
  ...besideDjango({
    name: 'django-create',
    work: 'master creates, one a transaction, one after the other on one connection, until all are confirmed',
    against: DJANGO,
    unit: 'rows/s',
    goal: 5,
  }),
  ...besideDjango({
    name: 'django-bulk-create',
    work: 'bulk create of 10,000 rows, until all are confirmed',
    against: DJANGO,
    unit: 'rows/s',
    goal: 50,
  }),
  ...besideDjango({
    name: 'django-sync',
    work: 'sync of 20,000 rows to a queue',
    against: '`cqrs_sync` of 2,000 rows, django-cqrs 3.1.0, pika: one connection, no confirm',
    unit: 'rows/s',
    goal: 10,
  }).filter(({ name }) => name !== 'django-sync-3.0'),
  {
    name: 'load-django',
    work: 'load of rows from a dump',
    against: 'django-cqrs',
    unit: 'rows/s',
    goal: 50,
  },
  {
    name: 'load-copy',
    work: 'load of 1,000,000 rows from a dump',
    against: '`COPY` in, of the same rows',
    unit: 'rows/s',
    goal: 0.4,
    beside: 'load-django',
  },
  {
    name: 'load-memory',
    work: 'load of 1,000,000 rows: memory after nine tenths',
    against: 'itself after one tenth',
    unit: 'MB',
    goal: 1.3,
    atMost: true,
  },
  ...[50, 99].map((percent): Row => ({
    name: `latency-p${percent}`,
    work: `commit → visible on the replica at 50 changes/s, p${percent}`,
    against: 'the raw path (insert, wake, publish, consume, upsert)',
    unit: 'ms',
    goal: 1.3,
    atMost: true,
  })),
  {
    name: 'apply-logical',
    work: 'apply throughput at saturation, quorum queue',
    against: 'PostgreSQL logical replication, one-row transactions',
    unit: 'rows/s',
    goal: 0.5,
  },
  { name: 'grow-outbox', work: 'relay, cost of a message: outbox of 10⁴ → 10⁶', unit: 'µs/msg', ...ITSELF },
  ...['classic', 'quorum'].flatMap((type): Row[] => [
    {
      name: `grow-queue-${type}`,
      work: `consumer, cost of a message: ${type} queue of 10⁴ → 10⁶`,
      unit: 'µs/msg',
      ...ITSELF,
    },
    {
      name: `grow-queue-${type}-raw`,
      work: `the same queues read by the raw consumer, none of ours: what the broker takes`,
      unit: 'µs/msg',
      ...ITSELF,
    },
  ]),
  { name: 'grow-entities', work: 'consumer, cost of a message: 1 → 50 entities', unit: 'µs/msg', ...ITSELF },
  { name: 'grow-bodies', work: 'consumer, cost of a byte: bodies of 0.4 → 40 kB', unit: 'ns/byte', ...ITSELF },
  {
    name: 'processes',
    work: '1 → 2 consumer processes, throttled apply (a hook that waits 10 ms, so that the servers are no ceiling)',
    against: 'itself with 1 process',
    unit: 'rows/s',
    goal: 1.7,
  },
  {
    name: 'memory',
    work: 'memory of a worker, bodies of 4 kB, at any backlog',
    against: 'raw twin + 80 MB',
    unit: 'MB',
    goal: 1,
    atMost: true,
  },
];

/**
 * Those of the short form: quick, and steady enough to be compared. Transactions of one row and quorum queues are not: what
 * a run says of them differs by up to a factor of two.
 */
export const shortRows: readonly string[] = [
  'bulk-create',
  'bulk-update',
  'flush-update',
  'relay',
  'consume-create-classic',
  'grow-bodies',
];

/** @throws Error when there is no such row */
export function rowsOf(...names: readonly string[]): readonly Row[] {
  return names.map((name) => {
    const row = rows.find((one) => one.name === name);
    if (!row) throw new Error(`There is no benchmark '${name}'.`);
    return row;
  });
}
