import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';

/**
 * Work that somebody asked for, and what became of it: the memory of the admin page and its audit. One row a job, written
 * by the process that runs it alone, but for the wish that it end.
 *
 *   waiting ──▶ running ──▶ done | failed | cancelled
 *      └───────────┴──────▶ interrupted: its process has gone, which shows in `seen_at` standing still
 */

/** Added to the entities of every service with masters or replicas, so that the schema generator and migrations know it. */
export const JobRow = defineEntity({
  name: 'CqrsJob',
  tableName: 'cqrs_jobs',
  properties: {
    id: p.bigint('string').primary().autoincrement(),
    kind: p.text(),
    title: p.text(),
    cqrsId: p.text().name('cqrs_id').nullable(),
    queue: p.text().nullable(),
    requestedBy: p.text().name('requested_by'),
    request: p.json(),
    state: p.text(),
    owner: p.text(),
    host: p.text(),
    pid: p.integer(),
    createdAt: p.datetime().name('created_at').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
    startedAt: p.datetime().name('started_at').columnType('timestamptz(6)').nullable(),
    seenAt: p.datetime().name('seen_at').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
    endedAt: p.datetime().name('ended_at').columnType('timestamptz(6)').nullable(),
    done: p.bigint('string').default('0'),
    total: p.bigint('string').nullable(),
    counts: p.json(),
    items: p.json(),
    itemsLeftOut: p.bigint('string').name('items_left_out').default('0'),
    findings: p.json(),
    findingsLeftOut: p.bigint('string').name('findings_left_out').default('0'),
    cancelRequested: p.boolean().name('cancel_requested').default(false),
    error: p.text().nullable(),
  },
});

/** Whatever runs a compiled query: MikroORM's Kysely client. */
export interface Executor {
  executeQuery<R>(query: CompiledQuery<R>): Promise<{ rows: R[] }>;
}

export type JobStateName = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

/** A job as it is stored; times as ISO texts. */
export interface StoredJob {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly cqrsId: string | null;
  readonly queue: string | null;
  readonly by: string;
  readonly request: unknown;
  readonly state: JobStateName;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** How long it has run, by the database's clock; null before it began. */
  readonly seconds: number | null;
  readonly done: number;
  readonly total: number | null;
  readonly counts: Readonly<Record<string, number>>;
  readonly itemsLeftOut: number;
  readonly findingsLeftOut: number;
  readonly cancelRequested: boolean;
  readonly error: string | null;
}

export interface NewJob {
  readonly kind: string;
  readonly title: string;
  readonly cqrsId: string | null;
  readonly queue: string | null;
  readonly by: string;
  /** What exactly was asked for. */
  readonly request: object;
}

/** How far a job is. */
export interface JobProgress {
  readonly state: JobStateName;
  readonly done: number;
  readonly total: number | null;
  readonly counts: Readonly<Record<string, number>>;
  readonly items: readonly object[];
  readonly itemsLeftOut: number;
  /** What it has found, for jobs that look for something. */
  readonly findings: readonly object[];
  readonly findingsLeftOut: number;
  readonly error: string | null;
}

/** Who runs jobs: one of a process, which may have several. */
export interface JobOwner {
  /** `<process>.<runner>`: the first part tells a process from an earlier one with the same pid, as containers have. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/** A job whose process has left no sign of life for so long is held to be interrupted. */
const SILENT_SECONDS = 20;

const time = (column: string, name: string): string =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "${name}"`;

const COLUMNS = `id::text as id, kind, title, cqrs_id as "cqrsId", queue, requested_by as "by", request::text as request,
  case when state in ('waiting', 'running') and seen_at < clock_timestamp() - interval '${SILENT_SECONDS} seconds'
       then 'interrupted' else state end as state,
  ${time('created_at', 'createdAt')}, ${time('started_at', 'startedAt')},
  ${time(`case when state in ('waiting', 'running') and seen_at < clock_timestamp() - interval '${SILENT_SECONDS} seconds' then seen_at else ended_at end`, 'endedAt')},
  extract(epoch from coalesce(ended_at, seen_at) - started_at)::float8 as seconds,
  done::text as done, total::text as total, counts::text as counts, items_left_out::text as "itemsLeftOut",
  findings_left_out::text as "findingsLeftOut", cancel_requested as "cancelRequested", error`;

/** Every query on the table of jobs. */
export class JobTable {
  constructor(
    private readonly client: () => Promise<Executor>,
    /** As SQL names it. */
    private readonly table: () => string,
  ) {}

  async add(job: NewJob, owner: JobOwner): Promise<string> {
    const [row] = await this.#run<{ id: string }>(
      `insert into ${this.table()} (kind, title, cqrs_id, queue, requested_by, request, state, owner, host, pid, counts, items, findings)
       values ($1, $2, $3, $4, $5, $6::jsonb, 'waiting', $7, $8, $9, '{}', '[]', '[]') returning id::text as id`,
      [job.kind, job.title, job.cqrsId, job.queue, job.by, json(job.request), owner.id, owner.host, owner.pid],
    );
    return row!.id;
  }

  /** Also a sign of life. Answers whether somebody wants it to end. */
  async save(id: string, progress: JobProgress): Promise<boolean> {
    const { state, done, total, counts, items, itemsLeftOut, findings, findingsLeftOut, error } = progress;
    const [row] = await this.#run<{ cancel: boolean }>(
      `update ${this.table()} set state = $2, done = $3, total = $4, counts = $5::jsonb, items = $6::jsonb, items_left_out = $7,
          findings = $8::jsonb, findings_left_out = $9, error = $10, seen_at = clock_timestamp(),
          started_at = coalesce(started_at, case when $2 <> 'waiting' then clock_timestamp() end),
          ended_at = case when $2 in ('waiting', 'running') then null else clock_timestamp() end
        where id = $1 returning cancel_requested as cancel`,
      [id, state, done, total, json(counts), json(items), itemsLeftOut, json(findings), findingsLeftOut, error],
    );
    return row?.cancel === true;
  }

  /** A sign of life of several. Answers with those that somebody wants to end. */
  async touch(ids: readonly string[]): Promise<string[]> {
    const rows = await this.#run<{ id: string; cancel: boolean }>(
      `update ${this.table()} set seen_at = clock_timestamp() where id = any($1::bigint[]) returning id::text as id, cancel_requested as cancel`,
      [ids],
    );
    return rows.filter(({ cancel }) => cancel).map(({ id }) => id);
  }

  /** False when there is no such job, or it has ended. */
  async requestCancel(id: string): Promise<boolean> {
    const rows = await this.#run(
      `update ${this.table()} set cancel_requested = true where id = $1 and state in ('waiting', 'running') returning 1`,
      [id],
    );
    return rows.length > 0;
  }

  async find(id: string): Promise<StoredJob | undefined> {
    if (!/^\d{1,18}$/.test(id)) return undefined;
    const [row] = await this.#run<RawJob>(`select ${COLUMNS} from ${this.table()} where id = $1`, [id]);
    return row && toJob(row);
  }

  /** What a job could not do (`items`), or what it has found (`findings`). */
  async list(id: string, what: 'items' | 'findings'): Promise<readonly unknown[]> {
    const [row] = await this.#run<{ list: string }>(`select ${what}::text as list from ${this.table()} where id = $1`, [
      id,
    ]);
    return row ? (JSON.parse(row.list) as unknown[]) : [];
  }

  /** Replaces what a job has found by what has become of it. */
  async setFindings(id: string, findings: readonly object[]): Promise<void> {
    await this.#run(`update ${this.table()} set findings = $2::jsonb where id = $1`, [id, json(findings)]);
  }

  /** Newest first. */
  async page(options: {
    readonly kinds?: readonly string[];
    readonly cqrsId?: string;
    readonly before?: string;
    readonly limit: number;
  }): Promise<StoredJob[]> {
    const { kinds = null, cqrsId = null, before = null, limit } = options;
    const rows = await this.#run<RawJob>(
      `select ${COLUMNS} from ${this.table()}
        where ($1::text[] is null or kind = any($1)) and ($2::text is null or cqrs_id = $2) and ($3::bigint is null or id < $3)
        order by id desc limit $4`,
      [kinds, cqrsId, before, limit],
    );
    return rows.map(toJob);
  }

  /** Ends what processes of this host have left behind that are known to be gone. */
  async interruptLost(owner: JobOwner, isAlive: (pid: number) => boolean): Promise<number> {
    const left = await this.#run<{ id: string; owner: string; pid: number }>(
      `select id::text as id, owner, pid from ${this.table()} where state in ('waiting', 'running') and host = $1 and owner <> $2`,
      [owner.host, owner.id],
    );
    const processOf = (id: string): string => id.split('.')[0]!;
    const lost = left
      .filter((job) => (job.pid === owner.pid ? processOf(job.owner) !== processOf(owner.id) : !isAlive(job.pid)))
      .map(({ id }) => id);
    if (lost.length === 0) return 0;
    await this.#run(
      `update ${this.table()} set state = 'interrupted', ended_at = seen_at where id = any($1::bigint[]) and state in ('waiting', 'running')`,
      [lost],
    );
    return lost.length;
  }

  /** Forgets jobs that ended longer ago. */
  async purge(retentionSeconds: number): Promise<void> {
    await this.#run(`delete from ${this.table()} where seen_at < clock_timestamp() - make_interval(secs => $1)`, [
      retentionSeconds,
    ]);
  }

  async exists(): Promise<boolean> {
    const [row] = await this.#run<{ found: boolean }>('select to_regclass($1) is not null as found', [this.table()]);
    return row!.found;
  }

  async #run<R>(text: string, parameters: readonly unknown[]): Promise<R[]> {
    const { rows } = await (
      await this.client()
    ).executeQuery(CompiledQuery.raw(text, [...parameters]) as CompiledQuery<R>);
    return rows;
  }
}

type RawJob = Omit<StoredJob, 'request' | 'done' | 'total' | 'counts' | 'itemsLeftOut' | 'findingsLeftOut'> &
  Readonly<Record<'request' | 'done' | 'counts' | 'itemsLeftOut' | 'findingsLeftOut', string>> & {
    readonly total: string | null;
  };

function toJob(row: RawJob): StoredJob {
  return {
    ...row,
    request: JSON.parse(row.request),
    done: Number(row.done),
    total: row.total === null ? null : Number(row.total),
    counts: JSON.parse(row.counts) as Record<string, number>,
    itemsLeftOut: Number(row.itemsLeftOut),
    findingsLeftOut: Number(row.findingsLeftOut),
  };
}

// PostgreSQL's jsonb does not take NUL, which a key or a search may hold.
function json(value: unknown): string {
  return JSON.stringify(value).replaceAll(/(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g, '\\ufffd');
}
