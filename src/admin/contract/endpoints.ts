import * as z from 'zod';
import { LetterDetail, LetterGroups, LettersAction, LettersPage, LettersQuery } from './dead-letters.js';
import { JobDetail, JobsPage, SyncRequest } from './jobs.js';
import { History, OutboxView, Overview, Processes, RecentEvents, RefusedAction, RefusedResult } from './present.js';
import { DifferencesPage, ReconcileRequest, RepairRequest, ReplicaState } from './replicas.js';
import { MasterRow, Matching, ReplicaRow, RowCount, RowRequest, RowsPage, RowsQuery } from './rows.js';
import { type Role, ServiceInfo } from './service.js';

export interface Endpoint {
  readonly method: 'GET' | 'POST';
  /** Below `<basePath>/api/`, with parameters in braces. */
  readonly path: string;
  readonly summary: string;
  /** Who may call it. What an operator may do is refused when the page is read-only, and limited in its rate. */
  readonly role: Role;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly response: z.ZodType;
}

const endpoint = <const E extends Endpoint>(row: E): E => row;
const short = z.string().max(200);

/** Every endpoint but the stream of `live` and `openapi.json`, by name. */
export const endpoints = {
  service: endpoint({
    method: 'GET',
    path: 'service',
    summary: 'The service, its masters and replicas with their columns, and who is asking.',
    role: 'read-only',
    response: ServiceInfo,
  }),
  overview: endpoint({
    method: 'GET',
    path: 'overview',
    summary: 'The path of a change with counts, rates and lag, and whether all is well.',
    role: 'read-only',
    response: Overview,
  }),
  history: endpoint({
    method: 'GET',
    path: 'history',
    summary: 'Counts and lags of the past, in equal steps.',
    role: 'read-only',
    query: z.strictObject({ minutes: z.coerce.number().int().min(1).max(44_640).default(60) }),
    response: History,
  }),
  rows: endpoint({
    method: 'POST',
    path: 'masters/{cqrsId}/rows',
    summary: 'A page of rows of a master: searched, filtered, sorted.',
    role: 'read-only',
    body: RowsQuery,
    response: RowsPage,
  }),
  countRows: endpoint({
    method: 'POST',
    path: 'masters/{cqrsId}/count',
    summary: 'How many rows of a master match.',
    role: 'read-only',
    body: Matching,
    response: RowCount,
  }),
  row: endpoint({
    method: 'POST',
    path: 'masters/{cqrsId}/row',
    summary: 'One row of a master: its state, what is known of its messages, and its payload as it would be sent now.',
    role: 'read-only',
    body: RowRequest,
    response: MasterRow,
  }),
  sync: endpoint({
    method: 'POST',
    path: 'masters/{cqrsId}/sync',
    summary: 'Send the present state of rows to all replicas or to one; answers with the job.',
    role: 'operator',
    body: SyncRequest,
    response: JobDetail,
  }),
  jobs: endpoint({
    method: 'GET',
    path: 'jobs',
    summary: 'What was asked for, by whom, and what became of it; newest first.',
    role: 'read-only',
    query: z.strictObject({
      kind: z
        .string()
        .regex(/^[a-z,-]{1,200}$/)
        .optional()
        .describe('kinds, separated by commas'),
      cqrsId: short.optional(),
      before: short.optional().describe('`next` of the page before'),
      limit: z.coerce.number().int().min(1).max(200).default(50),
    }),
    response: JobsPage,
  }),
  job: endpoint({
    method: 'GET',
    path: 'jobs/{id}',
    summary: 'One job, with the rows that did not go and why.',
    role: 'read-only',
    response: JobDetail,
  }),
  cancelJob: endpoint({
    method: 'POST',
    path: 'jobs/{id}/cancel',
    summary: 'Ask a job to end; what it has done stays done.',
    role: 'operator',
    body: z.strictObject({}),
    response: JobDetail,
  }),
  differences: endpoint({
    method: 'GET',
    path: 'jobs/{id}/differences',
    summary: 'The differences that a reconcile has found.',
    role: 'read-only',
    query: z.strictObject({
      after: short.optional(),
      limit: z.coerce.number().int().min(1).max(500).default(100),
    }),
    response: DifferencesPage,
  }),
  repair: endpoint({
    method: 'POST',
    path: 'jobs/{id}/repair',
    summary: 'Repair differences that a reconcile has found; answers with the job.',
    role: 'operator',
    body: RepairRequest,
    response: JobDetail,
  }),
  replicas: endpoint({
    method: 'GET',
    path: 'replicas',
    summary: 'How far each replica is, and what it did not apply and why.',
    role: 'read-only',
    response: z.object({ replicas: z.array(ReplicaState) }),
  }),
  replicaRows: endpoint({
    method: 'POST',
    path: 'replicas/{cqrsId}/rows',
    summary: 'A page of rows of a replica: searched, filtered, sorted.',
    role: 'read-only',
    body: RowsQuery,
    response: RowsPage,
  }),
  countReplicaRows: endpoint({
    method: 'POST',
    path: 'replicas/{cqrsId}/count',
    summary: 'How many rows of a replica match.',
    role: 'read-only',
    body: Matching,
    response: RowCount,
  }),
  replicaRow: endpoint({
    method: 'POST',
    path: 'replicas/{cqrsId}/row',
    summary: 'What a replica knows of one row: its state, its tombstone, its dead letters.',
    role: 'read-only',
    body: RowRequest,
    response: ReplicaRow,
  }),
  reconcile: endpoint({
    method: 'POST',
    path: 'masters/{cqrsId}/reconcile',
    summary:
      'Compare a master with the replica at one queue, and repair what differs if asked to; answers with the job.',
    role: 'operator',
    body: ReconcileRequest,
    response: JobDetail,
  }),
  deadLetters: endpoint({
    method: 'GET',
    path: 'dead-letters',
    summary: 'The dead letters of this service, grouped by entity and error.',
    role: 'read-only',
    response: LetterGroups,
  }),
  letters: endpoint({
    method: 'POST',
    path: 'dead-letters/list',
    summary: 'Dead letters, oldest first.',
    role: 'read-only',
    body: LettersQuery,
    response: LettersPage,
  }),
  letter: endpoint({
    method: 'GET',
    path: 'dead-letters/{id}',
    summary: 'One dead letter with its message and the field at fault.',
    role: 'read-only',
    response: LetterDetail,
  }),
  dryRunLetters: endpoint({
    method: 'POST',
    path: 'dead-letters/dry-run',
    summary: 'Try out what would become of dead letters if they were put back; answers with the job.',
    role: 'operator',
    body: LettersAction,
    response: JobDetail,
  }),
  retryLetters: endpoint({
    method: 'POST',
    path: 'dead-letters/retry',
    summary: 'Put dead letters back to their queue; answers with the job.',
    role: 'operator',
    body: LettersAction,
    response: JobDetail,
  }),
  purgeLetters: endpoint({
    method: 'POST',
    path: 'dead-letters/purge',
    summary: 'Purge dead letters, for good; answers with the job.',
    role: 'operator',
    body: LettersAction,
    response: JobDetail,
  }),
  outbox: endpoint({
    method: 'GET',
    path: 'outbox',
    summary: 'What waits in the outbox, what is stuck, and who holds the relay.',
    role: 'read-only',
    response: OutboxView,
  }),
  resolveRefused: endpoint({
    method: 'POST',
    path: 'outbox/refused',
    summary: 'Let messages that the broker refuses be attempted now, or drop them so that those behind them leave.',
    role: 'operator',
    body: RefusedAction,
    response: RefusedResult,
  }),
  processes: endpoint({
    method: 'GET',
    path: 'processes',
    summary: 'The processes of this service, with when they were last seen.',
    role: 'read-only',
    response: Processes,
  }),
  events: endpoint({
    method: 'GET',
    path: 'events',
    summary: 'Recent events worth a look, newest first.',
    role: 'read-only',
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(500).default(100) }),
    response: RecentEvents,
  }),
} as const;

export type Endpoints = typeof endpoints;
export type EndpointName = keyof Endpoints;
/** What an endpoint answers. */
export type Answer<N extends EndpointName> = z.infer<Endpoints[N]['response']>;
/** What an endpoint's body may be; undefined when it takes none. */
export type Body<N extends EndpointName> = Endpoints[N] extends { body: infer B extends z.ZodType }
  ? z.input<B>
  : undefined;
/** What an endpoint's query may be; undefined when it takes none. */
export type Query<N extends EndpointName> = Endpoints[N] extends { query: infer Q extends z.ZodType }
  ? z.input<Q>
  : undefined;
