import { afterEach, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { createAdmin } from '../../../src/admin/admin.js';
import { ConfigurationError } from '../../../src/kernel/errors.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import type { SentMessageRow } from '../../../src/messaging/outbox/sent-messages.js';
import { MemoryBroker, MemoryTransport } from '../../../src/messaging/transport/memory.js';
import { AdminClient, byHeader } from '../../admin/client.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What has been sent of a row and when, where that is kept. */

const ParcelSchema = defineEntity({
  name: 'Parcel',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), label: p.string() },
});
class Parcel extends masterClass(ParcelSchema) {
  static override CQRS_ID = 'parcel';
}
ParcelSchema.setClass(Parcel);

let service: MasterService | undefined;
afterEach(async () => {
  await service?.cqrs.stop();
  await service?.[Symbol.asyncDispose]();
  service = undefined;
});

async function open(sentRetentionSeconds: number | null): Promise<MasterService> {
  service = await masterService([Parcel], {
    settings: { transport: new MemoryTransport(new MemoryBroker()), relay: { sentRetentionSeconds } },
  });
  return service;
}

/** Waits until the outbox is empty: what was in it is with the broker. */
async function sent({ cqrs }: MasterService): Promise<void> {
  while ((await cqrs.outboxState())!.depth > 0) {
    await cqrs.events.next('cqrs.relay.published', { signal: AbortSignal.timeout(500) }).catch(() => {});
  }
}

const of = async ({ cqrs }: MasterService, id: number): Promise<SentMessageRow[]> =>
  (await cqrs.sentOf('parcel', [String(id)], 50))!;
const short = (rows: readonly SentMessageRow[]): string[] =>
  rows.map(({ signalType, revision, unroutable }) => `${signalType} ${revision}${unroutable ? ' unroutable' : ''}`);

async function listen({ cqrs }: MasterService, queue: string): Promise<void> {
  await cqrs.connect();
  const names = { queue, deadLetterQueue: `dead_${queue}`, unreadableQueue: `unreadable_${queue}` };
  await cqrs.transport.consume(
    { ...names, cqrsIds: ['parcel'], prefetch: 100, deadLetterTtlMs: null },
    (delivery) => void delivery.ack(),
  );
}

test('every message of a row, with its times, and nothing of its data', async () => {
  const opened = await open(3_600);
  await listen(opened, 'shop');
  await opened.cqrs.start();
  const em = opened.orm.em.fork();
  const parcel = em.create(Parcel, { id: 1, label: 'S3CRET' } as never);
  await em.flush();
  parcel.label = 'S3CRET, too';
  await em.flush();
  await opened.cqrs.sync({ cqrsId: 'parcel', filter: { id: 1 }, queue: 'shop' });
  em.remove(parcel);
  await em.flush();
  await em.insert(Parcel, { id: 2, label: 'another' } as never);
  await sent(opened);
  const rows = await of(opened, 1);
  expect(short(rows)).toEqual(['DELETE 2', 'SYNC 1', 'SAVE 1', 'SAVE 0']);
  expect(rows.map(({ queue }) => queue)).toEqual([null, 'shop', null, null]);
  for (const { committedAt, confirmedAt } of rows)
    expect(Date.parse(confirmedAt)).toBeGreaterThan(Date.parse(committedAt) - 1);
  expect(short(await of(opened, 2))).toEqual(['SAVE 0']);
  expect(JSON.stringify(await opened.sql('select * from cqrs_sent'))).not.toContain('S3CRET');
});

test('the page of a row tells it, and what became of its present state', async () => {
  const opened = await open(3_600);
  const client = new AdminClient(createAdmin(opened.cqrs, { authorize: byHeader }));
  const look = (key: string) => client.ask('row', { params: { cqrsId: 'parcel' }, body: { key } });
  await opened.cqrs.start();
  await opened.orm.em.fork().insert(Parcel, { id: 1, label: 'to nobody' } as never);
  await sent(opened);
  const lost = await look('1');
  expect(lost).toMatchObject({
    sent: [],
    history: [{ signalType: 'SAVE', revision: 0, queue: null, unroutable: true }],
  });
  expect(lost.facts).toContainEqual(
    expect.objectContaining({ state: 'bad', text: expect.stringMatching(/^Revision 0 reached no queue at /) }),
  );

  await listen(opened, 'shop');
  await opened.orm.em.fork().nativeUpdate(Parcel, { id: 1 }, { label: 'to the shop' });
  await sent(opened);
  expect((await look('1')).facts).toContainEqual(
    expect.objectContaining({
      state: 'good',
      text: expect.stringMatching(/^The broker has revision 1, as SAVE, since /),
    }),
  );

  // another incarnation of the key, of which nothing was sent
  await opened.orm.em.fork().nativeDelete(Parcel, { id: 1 });
  await sent(opened);
  await opened.cqrs.withoutReplication(() => opened.orm.em.fork().insert(Parcel, { id: 1, label: 'silent' } as never));
  const silent = await look('1');
  expect(silent.history).toHaveLength(3);
  expect(silent.facts).toContainEqual(
    expect.objectContaining({ text: expect.stringContaining('revision 0 was not sent') }),
  );
});

test('it is forgotten after its time', async () => {
  const opened = await open(3_600);
  await opened.cqrs.start();
  const em = opened.orm.em.fork();
  await em.insertMany(Parcel, [1, 2, 3].map((id) => ({ id, label: 'x' })) as never);
  await sent(opened);
  await opened.sql(`update cqrs_sent set confirmed_at = now() - interval '2 hours' where key <> '["3"]'`);
  expect(await of(opened, 1)).toEqual([]);
  await em.insert(Parcel, { id: 4, label: 'x' } as never);
  await sent(opened);
  expect(await opened.sql('select key from cqrs_sent order by id')).toEqual([{ key: '["3"]' }, { key: '["4"]' }]);
});

test('by default nothing is kept, there is no table, and the page says so', async () => {
  const opened = await open(null);
  await opened.cqrs.start();
  await opened.orm.em.fork().insert(Parcel, { id: 1, label: 'x' } as never);
  await sent(opened);
  expect(await opened.sql(`select to_regclass('cqrs_sent') as it`)).toEqual([{ it: null }]);
  const client = new AdminClient(createAdmin(opened.cqrs, { authorize: byHeader }));
  const row = await client.ask('row', { params: { cqrsId: 'parcel' }, body: { key: '1' } });
  expect(row).toMatchObject({ history: null, sent: [{ what: expect.stringContaining('revision 0 left the outbox') }] });
});

test('a table that is not there stops the start, and the schema generator makes it', async () => {
  const opened = await open(60);
  await opened.sql('drop table cqrs_sent');
  await expect(opened.cqrs.start()).rejects.toThrow(ConfigurationError);
  await expect(opened.cqrs.check()).rejects.toThrow(
    /relay\.sentRetentionSeconds: its table .*"cqrs_sent" is not in the database\. Run `npx cqrs schema --additive --run`/,
  );
  await opened.orm.schema.update({ safe: true });
  await opened.cqrs.check();
});
