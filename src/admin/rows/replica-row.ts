import type { Cqrs } from '../../cqrs.js';
import { Tombstone } from '../../replication/replica/rows/tombstones.js';
import type { AdminParts, Handle } from '../http/call.js';
import type { Fact, Letter, ReplicaRow } from '../contract.js';
import { queueFacts } from '../overview/queue-facts.js';
import { readSession } from '../http/read-session.js';
import { findRow } from './row-detail.js';
import { readKeyText } from './row-key.js';
import { assertBrowsable } from './rows.js';
import { isoTime } from '../http/times.js';

/** What a replica knows of one row, and why it may not be there or not be as it should. */

const TIMEOUT_MS = 10_000;

export const replicaRow: Handle<'replicaRow'> = async (parts, { params, body }) => {
  const { cqrs, tables } = parts;
  const table = await tables.replica(params['cqrsId']!);
  assertBrowsable(table);
  const key = readKeyText(body.key, table.keyColumns.length);
  const { row, tombstone } = await readSession(cqrs, TIMEOUT_MS, async ({ session }) => {
    const [found] = await findRow(session, table, key);
    const [buried] = await session.run({
      text: `select revision::text as revision, updated::text as updated, deleted_at::text as "deletedAt"
        from ${tableName(cqrs)} where cqrs_id = $1 and key = $2`,
      parameters: [table.cqrsId, JSON.stringify(key)],
    });
    return { row: found, tombstone: buried };
  });
  const letters = await lettersAbout(parts, table.cqrsId, body.key);
  const state: Pick<ReplicaRow, 'exists' | 'revision' | 'updated' | 'tombstone'> = {
    exists: row !== undefined,
    revision: row ? Number(row['revision']) : null,
    updated: row ? isoTime(row['updated']!) : null,
    tombstone: tombstone
      ? {
          revision: Number(tombstone['revision']),
          updated: isoTime(tombstone['updated']!),
          deletedAt: isoTime(tombstone['deletedAt']!),
        }
      : null,
  };
  return {
    key: body.key,
    ...state,
    values: row ? Object.fromEntries(table.columns.map(({ name }, index) => [name, row[`v${index}`] ?? null])) : {},
    // A negative one is no number of the master's: see `replication/replica/rules/stored-version.ts`.
    incarnation: row?.['incarnation']?.startsWith('-') ? null : (row?.['incarnation'] ?? null),
    deadLetters: letters.map(({ id }) => id),
    facts: [
      ...rowFacts(state),
      ...letters.map(letterFact),
      ...(await eventFacts(parts, table.cqrsId, body.key)),
      ...(await ownQueueFacts(parts)),
    ],
  };
};

function tableName(cqrs: Cqrs): string {
  const driver = cqrs.orm.driver as unknown as { getTableName(meta: object, options: object): string };
  return driver.getTableName(Tombstone.meta, {});
}

function rowFacts({
  exists,
  revision,
  updated,
  tombstone,
}: Pick<ReplicaRow, 'exists' | 'revision' | 'updated' | 'tombstone'>): Fact[] {
  if (exists)
    return [{ state: 'good', where: 'row', text: `The row is here, with revision ${revision} of ${updated}.` }];
  if (tombstone) {
    return [
      {
        state: 'bad',
        where: 'row',
        text: `It was deleted by its master at ${tombstone.updated} (revision ${tombstone.revision}), applied here at ${tombstone.deletedAt}.`,
        cure: 'If the master has it again, sync it there: a new incarnation of the key passes its tombstone.',
      },
    ];
  }
  return [
    {
      state: 'bad',
      where: 'row',
      text: 'No message of this row was ever applied here, or its table was emptied by hand.',
      cure: 'Sync the row on its master.',
    },
  ];
}

async function lettersAbout({ cqrs, letters }: AdminParts, cqrsId: string, key: string): Promise<Letter[]> {
  if (cqrs.settings.queue === null) return [];
  const look = await letters.look().catch(() => undefined); // the broker is away: told by the queue
  return (look?.letters ?? []).filter(
    (letter) => letter.cqrsId === cqrsId && letter.key !== null && sameKey(letter.key, key),
  );
}

function sameKey(one: string, other: string): boolean {
  return one === other || one.replaceAll('"', '') === other.replaceAll('"', '');
}

function letterFact({ signalType, reason, error, since }: Letter): Fact {
  return {
    state: 'bad',
    where: 'dead-letters',
    text: `A ${signalType ?? 'message'} of it is a dead letter since ${since ?? 'an unknown time'}: ${error ?? reason ?? 'no reason was told'}.`,
    cure: 'Mend what it says, try it out, then retry it.',
  };
}

async function eventFacts({ cqrs }: AdminParts, cqrsId: string, key: string): Promise<Fact[]> {
  const { events } = await cqrs.activity({ events: 500 });
  return events
    .filter((event) => event.cqrsId === cqrsId && event.key !== null && sameKey(event.key, key))
    .slice(0, 5)
    .map(({ at, text }): Fact => ({ state: 'note', where: 'replica', text: `${at}: ${text}` }));
}

async function ownQueueFacts({ cqrs }: AdminParts): Promise<Fact[]> {
  return cqrs.settings.queue === null ? [] : queueFacts(cqrs, [cqrs.settings.queue]);
}
