import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { dumpRows } from '../../src/operations/dump.js';
import { putBack, selectLetters } from '../../src/operations/dead-letters.js';
import { loadRows } from '../../src/operations/load.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { pieces } from '../operations/streams.js';
import { twoServices, type TwoServices } from '../support/two-services.js';

const PersonSchema = defineEntity({
  name: 'Person',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    team: () => p.manyToOne(TeamSchema).nullable().deleteRule('no action').updateRule('no action'),
  },
});
const TeamSchema = defineEntity({
  name: 'Team',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    lead: () => p.manyToOne(PersonSchema).nullable().deleteRule('no action').updateRule('no action'),
  },
});
const Person = master(PersonSchema, { id: 'person' });
const Team = master(TeamSchema, { id: 'team' });
const PersonRefSchema = defineEntity({
  name: 'PersonRef',
  tableName: 'person',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    team: () => p.manyToOne(TeamRefSchema).nullable().deleteRule('no action'),
  },
});
const TeamRefSchema = defineEntity({
  name: 'TeamRef',
  tableName: 'team',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    lead: () => p.manyToOne(PersonRefSchema).nullable().deleteRule('no action'),
  },
});
const PersonRef = replica(PersonRefSchema, { id: 'person' });
const TeamRef = replica(TeamRefSchema, { id: 'team' });

let services: TwoServices;
let total = 0;
beforeAll(async () => {
  services = await twoServices({
    masters: [Person, Team] as never,
    replicas: [PersonRef, TeamRef] as never,
    replicaSettings: { replica: { foreignKeyWaitSeconds: 1, retryDelaySeconds: 0.2 } },
  });
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});
const em = () => services.master.orm.em.fork();
const ended = (count: number): Promise<void> => services.ended((total += count));
const there = (sql: string): Promise<unknown[]> => services.replica.orm.em.getConnection().execute(sql);

/** Two rows that refer to each other, in one flush. */
async function makePair(id: number): Promise<void> {
  const fork = em();
  const person = fork.create(Person, { id } as never) as { team: unknown };
  person.team = fork.create(Team, { id, lead: person } as never);
  await fork.flush();
}

// claims: cyclic-references
test('rows that refer to each other, made in one flush, arrive, and go', async () => {
  await makePair(1);
  await ended(2);
  expect(await there('select id, team_id, (select lead_id from team) from person')).toEqual([
    { id: 1, team_id: 1, lead_id: 1 },
  ]);
  await em().transactional(async (inner) => {
    await inner.nativeUpdate(Person, { id: 1 }, { team: null } as never);
    await inner.nativeDelete(Team, { id: 1 });
    await inner.nativeDelete(Person, { id: 1 });
  });
  await ended(2);
  expect(await there('select id from person union all select id from team')).toEqual([]);
});

test('a row whose other row never comes stays without the reference, and its message becomes a dead letter that still applies', async () => {
  await services.master.cqrs.withoutReplication(() => em().insert(Team, { id: 2 } as never));
  await em().insert(Person, { id: 2, team: 2 } as never);
  await ended(1);
  const said = services.heard.flatMap(({ name, fields }) =>
    name === 'cqrs.inbox.retried' || name === 'cqrs.inbox.dead-lettered' ? [{ name, ...fields }] : [],
  );
  for (const name of ['cqrs.inbox.retried', 'cqrs.inbox.dead-lettered']) {
    expect(said).toContainEqual(
      expect.objectContaining({
        name,
        reason: 'foreign-key',
        error: expect.objectContaining({
          message: 'The row that team refers to has not come; its own is stored without the reference.',
        }) as unknown,
      }),
    );
  }
  expect(await there('select id, team_id from person')).toEqual([{ id: 2, team_id: null }]);
  // Who compares sees it.
  const compare = { cqrsId: 'person', queue: services.queue, settleSeconds: 0 };
  expect(await reconcile(services.master.cqrs, { ...compare, dryRun: true })).toMatchObject({
    damaged: 1,
    sample: [{ key: 2, fields: ['team'] }],
  });
  await services.master.cqrs.sync({ cqrsId: 'team', queue: services.queue });
  await ended(1);
  for await (const one of selectLetters(services.replica.cqrs)) await putBack(services.replica.cqrs, one);
  await ended(1);
  expect(await there('select id, team_id from person')).toEqual([{ id: 2, team_id: 2 }]);
  expect(await reconcile(services.master.cqrs, { ...compare, dryRun: true })).toMatchObject({ damaged: 0 });
});

test('bulk-load stores them without the reference, says so, and completes them when the file is loaded again', async () => {
  await makePair(3);
  await ended(2);
  const dumps = await Promise.all(
    ['person', 'team'].map(async (cqrsId) => {
      let text = '';
      await dumpRows(services.master.cqrs, { cqrsId, write: async (piece) => void (text += piece) });
      return text;
    }),
  );
  await there('update person set team_id = null');
  await there('delete from team');
  await there('delete from person');
  const load = async (text: string): Promise<string[]> => {
    const problems: string[] = [];
    const onFailure = (_: number, reason: string): void => void problems.push(reason);
    await loadRows(services.replica.cqrs, pieces(text), { onFailure });
    return problems;
  };
  const [people, teams] = dumps as [string, string];
  expect(await load(people)).toEqual([
    expect.stringContaining('stored without the reference'),
    expect.stringContaining('stored without the reference'),
  ]);
  expect(await load(teams)).toEqual([]);
  expect(await load(people)).toEqual([]);
  expect(await there('select id, team_id from person order by id')).toEqual([
    { id: 2, team_id: 2 },
    { id: 3, team_id: 3 },
  ]);
});
