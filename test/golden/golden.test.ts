import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { InvalidPayloadError } from '../../src/kernel/errors.js';
import { TransportPayload } from '../../src/wire/payload.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { brief } from '../replication/replica/support/messages.js';
import { ReplicaService } from '../replication/replica/support/replica-service.js';
import { models, previous } from './replica-models.js';

/**
 * Every recorded message of django-cqrs, in the order it was sent, as a replica of ours understands it. What is stored
 * is compared with the recorded body by PostgreSQL, which reads the body's own digits.
 */

interface Recording {
  readonly case: string;
  readonly transport: string;
  readonly seq?: number;
  readonly body?: string | null;
}
const recordings = readFileSync(new URL('django-cqrs-messages.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Recording)
  .filter((recording): recording is Recording & { body: string } => typeof recording.body === 'string');

/** What a message comes to where it is not plain: a first SAVE creates, a later one and SYNC update, DELETE deletes. */
const ends: Readonly<Record<string, string>> = {
  // sent with a null key: the row was gone when Django serialized it
  'atomic_create_and_delete 0': 'dead-letter mapping',
  // rows that replicas have not heard of before, since plain `bulk_create` sends nothing
  'command_cqrs_sync_all 2': 'create',
  'command_cqrs_sync_all 3': 'create',
  'replica_unparsable_message 0': 'unreadable',
  'replica_unparsable_message 1': 'unreadable',
};

const trackedAs: Readonly<Record<string, unknown>> = {
  'tracked_create 0': { name: null, price: null, author: null, happenedAt: null, uid: null },
  'tracked_create_with_nulls 0': { name: null },
  'tracked_update_one 0': { name: 'one' },
  'tracked_update_untracked_only 0': null,
  'tracked_atomic_two_saves 0': { name: 'two' },
  'tracked_bulk_create 0': { name: null },
  'tracked_bulk_create 1': { name: null, price: null },
  'tracked_sync 0': null,
};

describe.each(['RabbitMQTransport', 'KombuTransport'])('%s', (transport) => {
  let database: TestDatabase;
  let service: ReplicaService;
  let client: pg.Client;
  const known = new Set<string>();

  beforeAll(async () => {
    database = await createDatabase();
    // the recordings grow old
    service = await ReplicaService.start(database.url, models, { replica: { tombstoneRetentionSeconds: 10 ** 10 } });
    await service.orm.schema.create();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await service.stop();
    await database.drop();
  });

  const ours = recordings.filter((recording) => recording.transport === transport);
  test.each(ours.map((recording) => [`${recording.case} ${recording.seq}`, recording.body] as const))(
    '%s',
    async (name, body) => {
      if (ends[name] === 'unreadable') {
        expect(() => TransportPayload.fromMessage(body)).toThrow(InvalidPayloadError);
        return;
      }
      const payload = TransportPayload.fromMessage(body);
      const row = `${payload.cqrsId} ${String(payload.instancePk)}`;
      const plain = payload.signalType === 'DELETE' ? 'delete' : known.has(row) ? 'update' : 'create';
      const expected = ends[name] ?? (payload.cqrsId === 'failing' ? 'failed it always fails' : plain);
      const handle = async () =>
        brief(await service.handle([{ payload, committedAt: null, direct: true, expired: false }]));

      previous.length = 0;
      expect(await handle()).toEqual([expected]);
      if (payload.cqrsId === 'tracked' && plain !== 'delete') expect(previous).toEqual([trackedAs[name]]);
      if (expected === 'create') known.add(row);
      if (expected === 'create' || expected === 'update') {
        expect(await differences(payload.cqrsId, body)).toEqual([]);
        if (payload.signalType === 'SAVE') expect(await handle()).toEqual(['duplicate']);
      }
      if (expected === 'delete') expect(await differences(payload.cqrsId, body)).toEqual(['no row']);
    },
  );

  /** The columns whose stored value is not the one in the body. */
  async function differences(cqrsId: string, body: string): Promise<string[]> {
    const { table, columns, keyColumns } = service.side.replicas.get(cqrsId);
    const json = body.replace(/:(NaN|-?Infinity)\b/g, ':"$1"');
    const sent = (wire: string, type: string, nested: boolean) =>
      nested
        ? `nullif($1::jsonb -> 'instance_data' -> '${wire}', 'null'::jsonb)`
        : `($1::jsonb -> 'instance_data' ->> '${wire}')::${type}`;
    const checks = columns.map((column) => {
      const value =
        column.field === 'author_name'
          ? "$1::jsonb -> 'instance_data' -> 'author' ->> 'name'"
          : sent(column.wire[0]!, column.type, column.kind === 'json');
      return `t."${column.field}" is not distinct from (${value}) as "${column.field}"`;
    });
    const isDelete = body.includes('"signal_type":"DELETE"');
    const key = keyColumns[0]!;
    const { rows } = await client.query<Record<string, boolean>>(
      `select ${checks.join(', ')},
        t.cqrs_revision = ${sent('cqrs_revision', 'int', false)} as cqrs_revision,
        t.cqrs_updated = ${sent('cqrs_updated', 'timestamptz', false)} as cqrs_updated
       from ${table!.name} t where t."${key.field}" = ${sent(isDelete ? 'id' : key.wire[0]!, key.type, false)}`,
      [json],
    );
    if (rows.length === 0) return ['no row'];
    return Object.entries(rows[0]!).flatMap(([field, same]) => (same ? [] : [field]));
  }
});
