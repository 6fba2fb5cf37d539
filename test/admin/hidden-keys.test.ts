import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { createAdmin } from '../../src/admin/admin.js';
import type { JobDetail } from '../../src/admin/contract.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { type TwoServices, twoServices } from '../support/two-services.js';
import { AdminClient, byHeader } from './client.js';

/** Entities whose key is hidden: their rows are counted, sent and repaired, and never named. */

const TokenSchema = defineEntity({
  name: 'Token',
  extends: MasterEntity,
  properties: { id: p.string().primary().hidden(), owner: p.string() },
});
class Token extends masterClass(TokenSchema) {
  static override CQRS_ID = 'token';
}
TokenSchema.setClass(Token);

const TokenRefSchema = defineEntity({
  name: 'TokenRef',
  extends: ReplicaEntity,
  properties: { id: p.string().primary().hidden(), owner: p.string().length(20) },
});
class TokenRef extends replicaClass(TokenRefSchema) {
  static override CQRS_ID = 'token';
}
TokenRefSchema.setClass(TokenRef);

const SECRET = 's3cret-';
let services: TwoServices;
let bank: AdminClient;
let shop: AdminClient;
beforeAll(async () => {
  services = await twoServices({
    masters: [Token],
    replicas: [TokenRef],
    replicaSettings: { replica: { maxRetries: 0 }, activity: { intervalSeconds: 1 } },
  });
  bank = new AdminClient(createAdmin(services.master.cqrs, { authorize: byHeader }));
  shop = new AdminClient(createAdmin(services.replica.cqrs, { authorize: byHeader }));
  const em = services.master.orm.em.fork();
  await em.insertMany(Token, ['a', 'b', 'c'].map((name) => ({ id: `${SECRET}${name}`, owner: name })) as never);
  await em.insert(Token, { id: `${SECRET}long`, owner: 'an owner with a name that is too long' } as never);
  await services.ended(4);
  await em.nativeDelete(Token, { id: `${SECRET}long` });
  await services.ended(5);
});
afterAll(async () => services[Symbol.asyncDispose]());

async function ended(asked: Promise<JobDetail>): Promise<JobDetail> {
  let job = await asked;
  while (job.state === 'waiting' || job.state === 'running') job = await bank.ask('job', { params: { id: job.id } });
  return job;
}
const compare = (repair: boolean): Promise<JobDetail> =>
  ended(
    bank.ask('reconcile', {
      params: { cqrsId: 'token' },
      body: { queue: services.queue, repair, settleSeconds: 0 },
    }),
  );

test('rows and their details are refused, with the reason', async () => {
  for (const [client, name] of [
    [bank, 'rows'],
    [bank, 'row'],
    [shop, 'replicaRows'],
    [shop, 'replicaRow'],
  ] as const) {
    const body = /row$/i.test(name) ? { key: `${SECRET}a` } : {};
    const refused = await client.refused(name, { params: { cqrsId: 'token' }, body });
    expect(refused).toMatchObject({
      status: 400,
      message: expect.stringMatching(/^The key 'id' of Token(Ref)? is hidden/),
    });
  }
  const { masters } = await bank.ask('service');
  expect(masters[0]).toMatchObject({
    columns: [],
    whyNoRows: expect.stringContaining("The key 'id' of Token is hidden"),
  });
});

test('a comparison counts what differs and names no row; comparing with repair mends it', async () => {
  await services.replica.orm.em.getConnection().execute(`update token_ref set owner = 'x' where owner in ('a', 'b')`);
  const job = await compare(false);
  expect(job).toMatchObject({ state: 'done', counts: { differences: 2, damaged: 2 } });
  expect(await bank.ask('differences', { params: { id: job.id } })).toEqual({
    differences: [],
    next: null,
    leftOut: 2,
  });
  expect(await compare(true)).toMatchObject({ counts: { repaired: 2 } });
  expect(await compare(false)).toMatchObject({ counts: { differences: 0 } });
});

test('no list, letter, event or job names one', async () => {
  await services.replica.cqrs.recordActivity();
  const { letters } = await shop.ask('letters', { body: {} });
  expect(letters).toMatchObject([{ cqrsId: 'token', key: null }]);
  const letter = await shop.ask('letter', { params: { id: letters[0]!.id } });
  expect(letter.hidden).toContain('id');
  const { events } = await shop.ask('events');
  expect(events.filter(({ event }) => event === 'cqrs.inbox.dead-lettered')).toMatchObject([
    { key: null, text: expect.stringContaining('(hidden)') },
  ]);

  await services.master.cqrs.stop();
  await services.master.orm.em.fork().insert(Token, { id: `${SECRET}stuck`, owner: 'd' } as never);
  await services.master.orm.em.execute(`update cqrs_outbox set created_at = now() - interval '1 day'`);
  const outbox = await bank.ask('outbox');
  expect(outbox.stuck).toMatchObject([{ cqrsId: 'token', key: '(hidden)' }]);

  const said = [letters, letter, events, outbox, await bank.ask('jobs'), await bank.ask('events')];
  expect(JSON.stringify(said)).not.toContain(SECRET);
});
