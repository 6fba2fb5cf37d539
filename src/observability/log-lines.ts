import { unreadableQueueOf } from '../kernel/queue-names.js';
import { describeError } from '../kernel/describe-error.js';
import type { CqrsEventName, CqrsEvents, MessageFields } from '../kernel/events.js';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** One event in words. */
export interface Line {
  readonly level: LogLevel;
  readonly text: string;
  /** Lines alike share this; of too many in a short time only the first are written, and how many more there were. */
  readonly alike?: string;
}

/** An event that is written only as part of a sum, once in a while: alone it would drown all others. */
export interface Sum {
  readonly level: LogLevel;
  /** What is summed up together. */
  readonly of: string;
  readonly messages: number;
  readonly applied?: number;
  readonly lagMs: number | null;
}

type Words = { readonly [N in CqrsEventName]: (fields: CqrsEvents[N]) => Line | Sum };

const ids = (cqrsIds: readonly string[]): string => cqrsIds.join(', ') || 'nothing';
const because = (error: Error | undefined): string => (error ? `: ${describeError(error)}` : '');
const message = ({ signalType, cqrsId, instancePk }: MessageFields): string =>
  `${signalType} of ${cqrsId} ${instancePk}`;
const alike = (fields: { cqrsId: string; reason?: string }): string => `${fields.cqrsId} ${fields.reason ?? ''}`;

/**
 * The level is what the operator has to do: `error` somebody must act, or data stays wrong; `warn` somebody should look
 * when it persists; `info` the normal course at a glance; `debug` every single message.
 */
export const WORDS: Words = {
  'cqrs.master.announced': ({ count, cqrsIds }) => ({
    level: 'debug',
    text: `${plural(count, 'message')} committed to the outbox (${ids(cqrsIds)})`,
  }),
  'cqrs.master.uncaptured': ({ entity, reason, cure }) => ({
    level: 'warn',
    text: `not every write of ${entity} is replicated: ${reason}. ${cure}`,
    alike: `${entity} ${reason}`,
  }),
  'cqrs.master.fields-changed': ({ cqrsId, added, removed }) => ({
    level: 'warn',
    text: [
      ...(added.length > 0
        ? [
            `${cqrsId} sends ${added.join(', ')} from now on: replicas lack it of rows that were written before, or by processes of a ` +
              `former release. When all masters and replicas run the new one: cqrs reconcile --cqrs-id ${cqrsId} --queue <queue of the replica>`,
          ]
        : []),
      ...(removed.length > 0
        ? [
            `${cqrsId} no longer sends ${removed.join(', ')}: replicas keep what they have, and messages for those whose mapping names it, or ` +
              'whose column must not be null and has no default, become dead letters',
          ]
        : []),
    ].join('; '),
    alike: cqrsId,
  }),
  'cqrs.master.set-aside': ({ entity, instancePk, reason, retryInMs }) => ({
    level: 'error',
    text:
      `no message can be made of a change of ${entity} ${instancePk}, and later ones of its row wait: ${reason}. ` +
      `Next try in ${duration(retryInMs)}`,
    alike: `${entity} ${reason}`,
  }),

  'cqrs.master.reconciled': ({ cqrsId, queue, missing, extra, stale, damaged, ahead, repaired, told, durationMs }) => ({
    level: missing + extra + stale + damaged + ahead > 0 ? 'warn' : 'info',
    text:
      `${cqrsId} compared with ${queue} in ${duration(durationMs)}: ${missing} missing, ${extra} extra, ${stale} stale, ` +
      `${damaged} damaged, ${ahead} ahead; ${repaired} repaired${told ? '' : '; the replica was not told'}`,
  }),

  'cqrs.relay.started': ({ owner }) => ({ level: 'info', text: `relay started (${owner})` }),
  'cqrs.relay.stopped': ({ owner }) => ({ level: 'info', text: `relay stopped (${owner})` }),
  'cqrs.relay.published': ({ count, lagMs }) => ({ level: 'info', of: 'published', messages: count, lagMs }),
  'cqrs.relay.unroutable': ({ cqrsId, signalType, queue }) =>
    queue === null
      ? {
          level: 'warn',
          text: `${signalType} of ${cqrsId} reached no queue: no replica of it has started yet, or its queue is gone for good`,
          alike: cqrsId,
        }
      : {
          level: 'error',
          text: `${signalType} of ${cqrsId} for queue ${queue} was not delivered: there is no such replica`,
          alike: `${cqrsId} ${queue}`,
        },
  'cqrs.relay.refused': ({ cqrsId, signalType, instancePk, bytes, reason, passing, retryInMs }) => ({
    level: passing ? 'warn' : 'error',
    text:
      `${signalType} of ${cqrsId} ${instancePk} (${plural(bytes, 'byte')}) is held, and what follows of its row: ` +
      `${reason} ${retryInMs === null ? 'See cqrs refused list' : `Next try in ${duration(retryInMs)}`}`,
    alike: `${cqrsId} ${passing}`,
  }),
  'cqrs.relay.held': ({ count, cqrsIds }) => ({
    level: 'info',
    text: `${plural(count, 'message')} of ${ids(cqrsIds)} wait behind refused ones of their rows`,
    alike: ids(cqrsIds),
  }),
  'cqrs.relay.resolved': ({ action, count, cqrsId }) => ({
    level: action === 'drop' ? 'warn' : 'info',
    text: `${plural(count, 'refused message')}${cqrsId === null ? '' : ` of ${cqrsId}`} ${action === 'drop' ? 'dropped by an operator' : 'tried again for an operator'}`,
  }),
  'cqrs.relay.failed': ({ error, retryInMs }) => ({
    level: 'warn',
    text: `cannot publish${because(error)}; nothing is lost, next try in ${duration(retryInMs)}`,
  }),
  'cqrs.relay.recovered': ({ failures }) => ({
    level: 'info',
    text: `publishing works again after ${plural(failures, 'failure')}`,
  }),
  'cqrs.relay.clock-back': ({ behindMs }) => ({
    level: 'warn',
    text: `the database's clock is ${duration(behindMs)} behind the incarnations that were given: it was set back, or another host has taken over. Incarnations go on from their sequence; check the clock`,
  }),
  'cqrs.relay.lift-failed': ({ error }) => ({
    level: 'warn',
    text: `the sequence of incarnations is not kept ahead of the database's clock${because(error)}; a clock that is set back now could make rows older than the deletion of their key. It is tried again every second`,
  }),

  'cqrs.transport.connected': ({ broker }) => ({ level: 'info', text: `connected to ${broker}` }),
  'cqrs.transport.disconnected': ({ broker, error }) => ({
    level: error ? 'warn' : 'info',
    text: `disconnected from ${broker}${because(error)}`,
  }),
  'cqrs.transport.blocked': ({ broker, reason }) => ({
    level: 'warn',
    text: `${broker} holds publishers back: ${reason}`,
  }),
  'cqrs.transport.unblocked': ({ broker }) => ({ level: 'info', text: `${broker} lets publishers go on` }),

  'cqrs.consumer.started': ({ queue, cqrsIds }) => ({
    level: 'info',
    text: `consuming ${queue} for ${ids(cqrsIds)}`,
  }),
  'cqrs.consumer.stopped': ({ queue }) => ({ level: 'info', text: `stopped consuming ${queue}` }),
  'cqrs.inbox.gap': ({ queue, missing, cqrsIds }) => ({
    level: 'warn',
    text: `the ${missing} of ${queue} for ${ids(cqrsIds)} is new: what was sent before never reached it, deletions among it; run on the master: ${reconcileEach(queue, cqrsIds)}`,
  }),
  'cqrs.inbox.applied': (fields) => ({
    level: 'debug',
    text: `${message(fields)}: ${fields.action}, revision ${fields.version.revision}`,
  }),
  'cqrs.inbox.skipped': (fields) =>
    fields.reason === 'suppressed'
      ? {
          level: 'warn',
          text: `${message(fields)} skipped: the database kept the row back (a trigger, a rule or row security of the replica's table)`,
          alike: `${fields.cqrsId} suppressed`,
        }
      : { level: 'debug', text: `${message(fields)} skipped: ${fields.reason}` },
  'cqrs.inbox.retried': (fields) => ({
    level: 'warn',
    text: `${message(fields)} failed (${fields.reason}, ${plural(fields.retries, 'retry', 'retries')} so far)${because(fields.error)}; again in ${duration(fields.delayMs)}`,
    alike: alike(fields),
  }),
  'cqrs.inbox.dead-lettered': (fields) => ({
    level: 'error',
    text: `${message(fields)} is a dead letter after ${plural(fields.retries, 'retry', 'retries')}: ${fields.reason}${because(fields.error)}`,
    // Whoever makes up ids must not make up lines with them.
    alike: fields.reason === 'unknown-cqrs-id' ? fields.reason : alike(fields),
  }),
  'cqrs.inbox.dead-letters-expiring': ({ queue, count, firstInSeconds }) => ({
    level: 'warn',
    text: `up to ${plural(count, 'dead letter')} of ${queue} will be dropped by the broker, the first in ${duration(firstInSeconds * 1_000)}: see cqrs dead-letters list`,
  }),
  'cqrs.inbox.origin-changed': ({ queue, cqrsId, changes }) =>
    changes === 1
      ? {
          level: 'warn',
          text: `messages of ${cqrsId} in ${queue} come from another database than before: its master was moved or restored, or a second service announces it`,
        }
      : {
          level: 'error',
          text: `messages of ${cqrsId} in ${queue} come from several databases in turn: two services announce it; give one of them another CQRS_ID, then run cqrs reconcile on the other`,
        },
  'cqrs.inbox.unreadable': ({ queue, reason, bytes }) => ({
    level: 'error',
    text: `a body of ${plural(bytes, 'byte')} in ${queue} cannot be read and went to ${unreadableQueueOf(queue)}: ${reason}`,
    alike: queue,
  }),
  'cqrs.inbox.end-refused': ({ queue, cqrsId, error, retryInMs }) => ({
    level: 'error',
    text: `a message of ${cqrsId ?? 'no id'} in ${queue} cannot end${because(error)}; it comes back in ${duration(retryInMs)}, and the others go on`,
    alike: `${queue} ${cqrsId}`,
  }),
  'cqrs.inbox.batch-applied': ({ queue, count, applied, lagMs }) => ({
    level: 'info',
    of: queue,
    messages: count,
    applied,
    lagMs,
  }),
  'cqrs.inbox.batch-split': ({ queue, count, error }) => ({
    level: 'debug',
    text: `${count} messages of ${queue} failed together and are tried in halves${because(error)}`,
  }),
  'cqrs.inbox.failed': ({ queue, error, retryInMs }) => ({
    level: 'warn',
    text: `${queue} has to wait${because(error)}; next try in ${duration(retryInMs)}`,
  }),
  'cqrs.inbox.recovered': ({ queue, failures }) => ({
    level: 'info',
    text: `${queue} goes on after ${plural(failures, 'failure')}`,
  }),
  'cqrs.inbox.questions-refused': ({ queue, error, retryInMs }) => ({
    level: 'warn',
    text: `no master can compare its rows with those behind ${queue}${because(error)}; next try in ${duration(retryInMs)}`,
  }),
  'cqrs.replica.clock-distrusted': (fields) => ({
    level: 'warn',
    text: `${message(fields)} claims to be ${duration(fields.aheadMs)} from the future; its revision alone decided. Check the clock of its master`,
    alike: fields.cqrsId,
  }),
  'cqrs.replica.order-doubted': (fields) => ({
    level: fields.reason === 'incarnation-behind' ? 'error' : 'warn',
    text: `${message(fields)}${doubt(fields)}`,
    alike: `${fields.cqrsId} ${fields.reason}`,
  }),
  'cqrs.replica.keys-held': ({ queue, count, waitMs, holders }) => ({
    level: 'warn',
    text: `${queue}: the keys of ${plural(count, 'message')} have been held by another worker for more than ${duration(waitMs)}: ${holders.map(holder).join('; ')}. They are tried again later, the others go on`,
    alike: queue,
  }),
  'cqrs.replica.warned': ({ where, what, cure }) => ({ level: 'warn', text: `${where} ${what} ${cure}` }),
  'cqrs.replica.lossy-value': ({ cqrsId, field, table, column, columnType }) => ({
    level: 'warn',
    text: `${cqrsId}: '${field}' brought more than ${column} of ${table} stores as ${columnType}; it was rounded or cut, and so may others be. Make the column wider, then run on the master: cqrs reconcile -c ${cqrsId}, with the queue of this replica`,
    alike: `${cqrsId} ${field}`,
  }),
  'cqrs.replica.query-timed-out': ({ cqrsId, doing, timeoutMs }) => ({
    level: 'warn',
    text: `${doing} ${cqrsId}: a statement was cancelled after ${duration(timeoutMs)} (replica.queryTimeoutMs)`,
    alike: `${cqrsId} ${doing}`,
  }),
  'cqrs.replica.asked': ({ question, cqrsId, durationMs, refused }) => ({
    level: refused === null ? 'debug' : 'warn',
    text:
      refused === null
        ? `${cqrsId}: told a master its ${question} in ${duration(durationMs)}`
        : `${cqrsId}: a master's question was refused: this replica ${refused}`,
    alike: `${cqrsId} ${question}`,
  }),
  'cqrs.replica.compared': ({
    cqrsId,
    whole,
    masterRows,
    replicaRows,
    missing,
    extra,
    stale,
    damaged,
    ahead,
    repaired,
  }) => ({
    level: missing + extra + stale + damaged + ahead > repaired ? 'warn' : 'info',
    text:
      `${cqrsId} compared by its master (${whole ? '' : 'chosen rows, '}${masterRows} there, ${replicaRows} here): ` +
      `${missing} missing, ${extra} extra, ${stale} stale, ${damaged} damaged, ${ahead} ahead; ${repaired} repaired`,
  }),
  'cqrs.replica.tombstones-purged': ({ count }) => ({ level: 'debug', text: `${plural(count, 'tombstone')} purged` }),

  'cqrs.activity.failed': ({ error, retryInMs }) => ({
    level: 'warn',
    text: `what this process does cannot be recorded${because(error)}; the work goes on, next try in ${duration(retryInMs)}`,
  }),

  'cqrs.admin.acted': ({ user, action, cqrsId, queue, job }) => ({
    level: 'info',
    text: `${user} asked for ${action}${cqrsId === null ? '' : ` of ${cqrsId}`}${queue === null ? '' : ` for queue ${queue}`}${job === null ? '' : ` (job ${job})`}`,
  }),
  'cqrs.admin.refused': ({ user, reason }) => ({
    level: 'warn',
    text: `a request to the admin page was refused${user === null ? '' : ` (${user})`}: ${reason}`,
    alike: reason,
  }),
  'cqrs.admin.job-ended': ({ job, action, cqrsId, state, counts, error }) => ({
    level: state === 'done' ? 'info' : 'warn',
    text: `job ${job}, ${action}${cqrsId === null ? '' : ` of ${cqrsId}`}: ${state}${countsText(counts)}${error === null ? '' : `: ${error}`}`,
  }),
  'cqrs.admin.failed': ({ endpoint, error }) => ({
    level: 'error',
    text: `the admin page could not answer ${endpoint}${because(error)}`,
    alike: endpoint,
  }),

  'cqrs.worker.started': ({ worker, pid }) => ({ level: 'info', text: `worker ${worker} started (pid ${pid})` }),
  'cqrs.worker.probes-served': ({ port }) => ({
    level: 'info',
    text: `probes on port ${port}: /healthz, /readyz, /metrics`,
  }),
  'cqrs.worker.stopping': ({ reason }) => ({
    level: 'info',
    text: `${reason}: stopping once the work in hand is done; a second signal ends it at once`,
  }),
  'cqrs.worker.reloading': ({ reason }) => ({ level: 'warn', text: `${reason}: starting the workers again` }),
  'cqrs.worker.exited': ({ worker, code, restartInMs }) => ({
    level: restartInMs === null || code === 0 ? 'info' : 'error',
    text: `worker ${worker} ${code === null ? 'was killed' : `exited with ${code}`}${restartInMs === null ? '' : `; it is started again in ${duration(restartInMs)}`}`,
  }),
};

/** A sum in words. */
export function sumText(event: CqrsEventName, { of, messages, applied, lagMs }: Sum): string {
  const lag = lagMs === null ? '' : `, ${duration(lagMs)} behind at most`;
  if (event === 'cqrs.relay.published') return `${plural(messages, 'message')} published${lag}`;
  const skipped = messages - (applied ?? messages);
  return `${plural(messages, 'message')} of ${of} done${skipped > 0 ? `, ${skipped} of them not applied` : ''}${lag}`;
}

function countsText(counts: Readonly<Record<string, number>>): string {
  const words = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return words.length > 0 ? ` (${words.join(', ')})` : '';
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function duration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 120) return `${Number(seconds.toFixed(1))} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Number((seconds / 3_600).toFixed(1))} h`;
}

function doubt({ reason, revision }: CqrsEvents['cqrs.replica.order-doubted']): string {
  switch (reason) {
    case 'tie':
      return `: another state of the row has the same revision, ${revision}; the later time was taken`;
    case 'beyond-lock-wait':
      return `: revision ${revision} is older than the row by more than replica.lockWaitSeconds and was skipped. If its master waited so long for a lock, raise the setting and repair the row: cqrs diff`;
    default:
      return `: it was committed after the state that is stored here, and has a lower incarnation; it was skipped. Its master was restored from a backup, or its clock set back: run cqrs reconcile there for this queue, then cqrs sync --new-incarnation`;
  }
}

/** A sync would leave rows that were deleted meanwhile. */
function reconcileEach(queue: string, cqrsIds: readonly string[]): string {
  const commands = cqrsIds.slice(0, 5).map((id) => `cqrs reconcile -c ${id} -q ${queue}`);
  return `${commands.join('; ')}${cqrsIds.length > commands.length ? '; and so on for the others' : ''}`;
}

function holder({
  pid,
  application,
  address,
  state,
  seconds,
}: CqrsEvents['cqrs.replica.keys-held']['holders'][number]): string {
  const who = [application, address].filter((part) => part !== '').join(' at ');
  return `PostgreSQL process ${pid}${who === '' ? '' : ` (${who})`}, ${state === '' ? 'of unknown state' : state}, for ${duration(seconds * 1_000)}`;
}
