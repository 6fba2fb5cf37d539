import type { SqlSession } from '../../replication/replica/rows/sql-session.js';
import { describeError } from '../../kernel/describe-error.js';
import { HeldMessage } from '../../messaging/outbox/held-messages.js';
import { OutboxMessage } from '../../messaging/outbox/outbox.js';
import type { AdminParts, Handle } from '../http/call.js';
import type { Fact, MasterRow } from '../contract.js';
import { jobTable } from '../jobs/job-store.js';
import { isIncluded, previewPayload, readImage } from './payload-preview.js';
import { queueFacts } from '../overview/queue-facts.js';
import { readSession } from '../http/read-session.js';
import { conditionsOf } from './row-conditions.js';
import { readKeyText } from './row-key.js';
import { assertBrowsable, selection } from './rows.js';
import type { BrowsableTable } from './tables.js';
import { isoTime } from '../http/times.js';

/** One row of a master: what it is, what is known of its messages, and why a replica may not have it. */

const TIMEOUT_MS = 10_000;

export const masterRow: Handle<'row'> = async (parts, { params, body }) => {
  const { cqrs, tables } = parts;
  const table = await tables.master(params['cqrsId']!);
  assertBrowsable(table);
  const definition = cqrs.masters.get(table.cqrsId);
  const key = readKeyText(body.key, table.keyColumns.length);
  const seen = await readSession(cqrs, TIMEOUT_MS, async (snapshot) => {
    const [row] = await findRow(snapshot.session, table, key);
    const printed = row ? table.keyColumns.map((_, index) => row[`k${index}`]!) : key;
    const waiting = await readWaiting(snapshot.session, parts, table.cqrsId, printed);
    const image = row && (await readImage(snapshot, definition, table, printed));
    if (!image) return { key: printed, row, waiting, included: null, payload: null };
    let included: boolean | null;
    let filterError: string | null = null;
    try {
      included = isIncluded(cqrs, snapshot, definition, image);
    } catch (error) {
      included = null;
      filterError = describeError(error);
    }
    const payload =
      included === null
        ? { signalType: 'SYNC' as const, body: null, error: filterError, hidden: [] }
        : await previewPayload(cqrs, snapshot, table, { definition, image, included });
    return {
      key: printed,
      row,
      waiting,
      included,
      payload,
      revision: definition.table.revision(image),
      incarnation: String(definition.table.incarnation(image)),
    };
  });
  const { row, waiting, included, payload, revision = null, incarnation = null } = seen;
  const updated = row ? isoTime(row['updated']!) : null;
  const values = Object.fromEntries(table.columns.map(({ name }, index) => [name, row?.[`v${index}`] ?? null]));
  const history = await readHistory(parts, table.cqrsId, seen.key);
  const sent = history
    ? []
    : await lastSent(parts, table.cqrsId, { waiting, updated, revision, exists: row !== undefined });
  return {
    key: body.key,
    exists: row !== undefined,
    values: row ? values : {},
    revision,
    incarnation,
    updated,
    included,
    waiting,
    sent,
    history,
    facts: await factsOf(parts, table.cqrsId, {
      exists: row !== undefined,
      included,
      payload,
      waiting,
      revision,
      history,
    }),
    payload,
  };
};

/** One row by its key, with all columns that are shown, uncut. */
export async function findRow(
  session: SqlSession,
  table: BrowsableTable,
  key: readonly string[],
): Promise<Record<string, string>[]> {
  const conditions = conditionsOf(table, {});
  for (const [index, { field }] of table.keyColumns.entries()) {
    conditions.add(`t."${field}" = ${conditions.bind(key[index])}`);
  }
  return session.run({
    text: `select ${selection(table, null)} from ${table.name} t where ${conditions.text}`,
    parameters: conditions.parameters,
  });
}

async function readWaiting(
  session: SqlSession,
  { cqrs }: AdminParts,
  cqrsId: string,
  key: readonly string[],
): Promise<MasterRow['waiting']> {
  const driver = cqrs.orm.driver as unknown as { getTableName(meta: object, options: object): string };
  const rows = await session.run({
    text: `select id::text as id, signal, queue, created_at::text as since, failure
      from ${driver.getTableName(OutboxMessage.meta, {})} where cqrs_id = $1 and key = $2
      union all select id::text, signal, queue, created_at::text,
        coalesce(reason, 'it waits behind a message of this row that the broker refuses')
      from ${driver.getTableName(HeldMessage.meta, {})} where cqrs_id = $1 and key = $2 order by since limit 50`,
    parameters: [cqrsId, JSON.stringify(key)],
  });
  return rows.map(({ id, signal, queue, since, failure }) => ({
    outboxId: id!,
    signalType: signal!,
    queue: queue ?? null,
    since: isoTime(since!),
    failure: failure ?? null,
  }));
}

interface Seen {
  readonly exists: boolean;
  readonly included: boolean | null;
  readonly payload: MasterRow['payload'];
  readonly waiting: MasterRow['waiting'];
  readonly revision: number | null;
  readonly history: MasterRow['history'];
}

const MOST_SENT = 50;

async function readHistory(
  { cqrs }: AdminParts,
  cqrsId: string,
  key: readonly string[],
): Promise<MasterRow['history']> {
  const messages = await cqrs.sentOf(cqrsId, key, MOST_SENT);
  if (!messages) return null;
  return messages.map((message) => ({
    ...message,
    committedAt: isoTime(message.committedAt),
    confirmedAt: isoTime(message.confirmedAt),
  }));
}

/** The outbox forgets what the broker has confirmed: what has left is known by its absence, and by the jobs that sent it. */
async function lastSent(
  parts: AdminParts,
  cqrsId: string,
  {
    waiting,
    updated,
    revision,
    exists,
  }: { waiting: MasterRow['waiting']; updated: string | null; revision: number | null; exists: boolean },
): Promise<MasterRow['sent']> {
  const changes = waiting.filter(({ failure }) => failure === null);
  const last =
    exists && updated !== null && changes.length === 0
      ? [
          {
            at: updated,
            what: `the change to revision ${revision} left the outbox at or after this time`,
            by: null,
            job: null,
          },
        ]
      : [];
  const jobs = await jobTable(parts.cqrs)
    .page({ kinds: ['sync'], cqrsId, limit: 5 })
    .catch(() => []);
  const syncs = jobs
    .filter(({ counts }) => (counts['sent'] ?? 0) > 0)
    .map((job) => ({
      at: job.endedAt ?? job.createdAt,
      what: `a sync of ${job.counts['sent']} rows of ${cqrsId}`,
      by: job.by,
      job: job.id,
    }));
  return [...last, ...syncs].toSorted((one, other) => (one.at < other.at ? 1 : -1));
}

async function factsOf(parts: AdminParts, cqrsId: string, seen: Seen): Promise<Fact[]> {
  const { cqrs } = parts;
  const facts: Fact[] = [];
  const definition = cqrs.masters.get(cqrsId);
  if (!seen.exists) {
    facts.push({
      state: 'bad',
      where: 'row',
      text: 'There is no such row here: replicas are not to have it.',
      cure: 'If one still has it, find it with a reconcile.',
    });
  }
  if (!definition.produce) {
    facts.push({
      state: 'bad',
      where: 'row',
      text: 'CQRS_PRODUCE is off: changes of this master are not announced.',
      cure: 'A sync sends the row all the same.',
    });
  }
  if (seen.included === false) {
    facts.push({
      state: 'bad',
      where: 'filter',
      text: 'isSyncInstance keeps the row from replicas; a sync withdraws it from them.',
    });
  } else if (seen.included === true && definition.hooks.isSyncInstance) {
    facts.push({ state: 'good', where: 'filter', text: 'isSyncInstance lets the row travel.' });
  }
  if (seen.payload?.error) {
    facts.push({
      state: 'bad',
      where: 'row',
      text: `Its message cannot be made: ${seen.payload.error}`,
      cure: 'Correct isSyncInstance, the serializer or the hook that fails, then sync the row.',
    });
  }
  facts.push(...outboxFacts(seen), ...(await brokerFacts(parts, cqrsId)));
  return facts;
}

function outboxFacts({ waiting, exists, revision, history }: Seen): Fact[] {
  const failed = waiting.filter(({ failure }) => failure !== null);
  const pending = waiting.filter(({ failure }) => failure === null);
  const facts = failed.map(({ queue, failure }): Fact => ({
    state: 'bad',
    where: 'outbox',
    text: `A message for ${queue === null ? 'all replicas' : `queue ${queue}`} could not be delivered: ${failure!.replace(/\.$/, '')}.`,
    cure:
      failure === 'unroutable'
        ? 'Sync the row to a queue that there is.'
        : 'See Outbox: mend the reason and retry it there, or drop it.',
  }));
  if (pending.length > 0) {
    facts.push({
      state: 'bad',
      where: 'outbox',
      text: `${pending.length} of its messages wait in the outbox, since ${pending[0]!.since}.`,
      cure: 'If that stays so, look whether a relay runs and the broker answers.',
    });
  } else if (exists && history === null) {
    facts.push({
      state: 'good',
      where: 'outbox',
      text: `Nothing of it waits in the outbox: revision ${revision} has left it, if it was announced.`,
    });
  } else if (exists) {
    facts.push(sentFact(revision, history!));
  }
  return facts;
}

/** What the history says of the state that the row has now. */
function sentFact(revision: number | null, history: NonNullable<MasterRow['history']>): Fact {
  // What lies before a deletion was another incarnation of the key, which counts its revisions anew.
  const ended = history.findIndex(({ signalType }) => signalType === 'DELETE');
  const incarnation = ended < 0 ? history : history.slice(0, ended);
  const last = incarnation.find((message) => message.revision === revision);
  if (!last) {
    return {
      state: 'unknown',
      where: 'outbox',
      text: `Nothing of it waits in the outbox, and as far back as is remembered revision ${revision} was not sent.`,
      cure: 'If it changed within that time, it was written past the library; a sync sends the row all the same.',
    };
  }
  const to = last.queue === null ? '' : ` for ${last.queue}`;
  return last.unroutable
    ? {
        state: 'bad',
        where: 'broker',
        text: `Revision ${revision} reached no queue at ${last.confirmedAt}: no replica was bound to it.`,
        cure: 'Start the replica, then sync the row.',
      }
    : {
        state: 'good',
        where: 'outbox',
        text: `The broker has revision ${revision}, as ${last.signalType}${to}, since ${last.confirmedAt}.`,
      };
}

async function brokerFacts({ cqrs }: AdminParts, cqrsId: string): Promise<Fact[]> {
  const facts = await queueFacts(cqrs, cqrs.settings.admin.queues);
  facts.push({
    state: 'unknown',
    where: 'replica',
    text: `What became of it at the replicas of ${cqrsId} is known to their services.`,
    cure: 'Look it up on the admin page of that service: it knows tombstones, dead letters and skipped messages.',
  });
  return facts;
}
