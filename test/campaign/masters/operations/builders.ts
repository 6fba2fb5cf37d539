import { LockMode, raw } from '@mikro-orm/postgresql';
import { Animal, Badge, Day, Doc, Item, Node, Org, Person } from '../entities.ts';
import { operations } from './operation.ts';
import { ANIMALS, BADGES, CODES, content, DAYS, DOCS, NODES, number, NUMBERS, PEOPLE, person, text } from './values.ts';

/** Query builders, `Entity.cqrs(em)`'s bulk operations, and clones. */

export const builders = operations('MikroORM', {
  'builder: update': ({ em, random, note }) =>
    em
      .createQueryBuilder(Node)
      .update({ label: text(random), note })
      .where({ id: { $in: random.some(NODES) } })
      .execute(),
  'builder: update, returning': ({ em, random, note }) =>
    em
      .createQueryBuilder(Node, 'n')
      .update({ v: raw('v + 1'), note })
      .where({ id: { $in: random.some(NODES, 1, 3) } })
      .returning(['id', 'v'])
      .execute(),
  'builder: update by a relation': ({ em, random, note }) =>
    em
      .createQueryBuilder(Person, 'p')
      .update({ name: text(random), note })
      .where({ org: { rank: { $gt: number(random) } } })
      .execute(),
  'builder: update with a sub-query': ({ em, random, note }) => {
    const chosen = em
      .createQueryBuilder(Item, 'i')
      .select('i.org')
      .where({ v: { $gt: number(random) } });
    return em
      .createQueryBuilder(Org, 'o')
      .update({ rank: number(random), note })
      .where({ code: { $in: chosen.getNativeQuery() } } as never)
      .execute();
  },
  'builder: update with a CTE': ({ em, random, note }) => {
    const chosen = em
      .createQueryBuilder(Day, 'd')
      .select('d.day')
      .where({ load: { $gt: number(random) } });
    return em
      .createQueryBuilder(Day)
      .with('chosen', chosen as never)
      .update({ load: raw('load + 1'), note })
      .where(raw('day in (select day from chosen)') as never)
      .execute();
  },
  'builder: delete': ({ em, random }) =>
    em
      .createQueryBuilder(Item)
      .delete({ org: random.pick(CODES), n: random.pick(NUMBERS) })
      .execute(),
  'builder: delete by a relation': ({ em, random }) =>
    em
      .createQueryBuilder(Badge, 'b')
      .delete({ person: { name: { $ne: text(random) } }, id: { $in: random.some(BADGES, 1, 4) } })
      .execute(),
  'builder: insert': ({ em, random, note }) =>
    em
      .createQueryBuilder(Doc)
      .insert({ id: random.pick(DOCS), ...content(random, note) } as never)
      .execute(),
  'builder: insert, merging': ({ em, random, note }) =>
    em
      .createQueryBuilder(Item)
      .insert({ org: random.pick(CODES), n: random.pick(NUMBERS), v: number(random), note } as never)
      .onConflict(['org', 'n'] as never)
      .merge(['v', 'note'])
      .execute(),
  'builder: insert several, merging all': ({ em, random, note }) =>
    em
      .createQueryBuilder(Day)
      .insert(
        random.some(DAYS, 2).map((day) => ({ day, load: number(random), open: random.chance(0.7), note })) as never,
      )
      .onConflict('day')
      .merge()
      .execute(),
  'builder: insert, merging values': ({ em, random, note }) =>
    em
      .createQueryBuilder(Animal)
      .insert({ id: random.pick(ANIMALS), kind: 'cat', name: text(random), v: 0, note } as never)
      .onConflict('id')
      .merge({ v: raw('c_animal.v + 1'), note } as never)
      .execute(),
  'builder: insert, merging on another key': ({ em, random, note }) =>
    em
      .createQueryBuilder(Person)
      .insert({
        id: random.pick(PEOPLE),
        email: `${random.int(6)}@x`,
        ...person(random, note),
        home: { street: 's', city: 'c' },
      } as never)
      .onConflict('email')
      .merge(random.chance(0.5) ? (['name', 'home.city', 'note'] as never) : undefined)
      .execute(),
  'builder: insert, ignoring': ({ em, random, note }) =>
    em
      .createQueryBuilder(Person)
      .insert(random.some(PEOPLE, 1, 3).map((id) => ({ id, ...person(random, note) })) as never)
      .onConflict('id')
      .ignore()
      .execute(),
  'builder: insert from a query': ({ em, random, note }) => {
    const source = em
      .createQueryBuilder(Badge, 'b')
      .select([raw("b.label || '+' as label"), raw('b.person_id as person_id'), raw(`'${note}' as note`)] as never)
      .where({ id: { $in: random.some(BADGES, 1, 3) } });
    return em
      .createQueryBuilder(Badge)
      .insertFrom(source as never, { columns: ['label', 'person', 'note'] } as never)
      .execute();
  },
  'builder: stream': async ({ em, random, note }) => {
    const builder = em
      .createQueryBuilder(Org)
      .update({ rank: number(random), note })
      .where({ code: { $in: random.some(CODES) } })
      .returning('*' as never);
    for await (const row of (builder as unknown as { stream(): AsyncIterable<unknown> }).stream()) void row;
  },
  'builder: its clone': async ({ em, random, note }) => {
    const builder = em.createQueryBuilder(Node).update({ label: text(random), note });
    const clone = builder.clone();
    await clone.where({ id: random.pick(NODES) }).execute();
    await builder.where({ id: random.pick(NODES) }).execute();
  },
  'builder: its native query': ({ em, random, note }) => {
    const builder = em
      .createQueryBuilder(Day)
      .update({ load: number(random), note })
      .where({ day: random.pick(DAYS) });
    return em.execute(builder.getNativeQuery() as never);
  },
  'repository: nativeUpdate': ({ em, random, note }) =>
    em.getRepository<Animal>(Animal).nativeUpdate({ id: random.pick(ANIMALS) }, { name: text(random), note }),
  // Under a lock: what is gone between the look and the clone is no fault of either. MikroORM's clone takes a `?` in a text
  // for a parameter.
  'clone a badge': ({ em, random, note }) =>
    em.transactional(async (inside) => {
      const id = random.pick(BADGES);
      const found = await inside.findOne(Badge, id, { refresh: true, lockMode: LockMode.PESSIMISTIC_WRITE });
      if (found) await inside.clone(Badge, { id }, { label: `${number(random)}`, note } as never);
    }),
  bulkCreate: ({ em, random, note }) =>
    Badge.cqrs(em).bulkCreate(
      Array.from({ length: 1 + random.int(3) }, () => ({ label: text(random), note })) as never,
    ),
  bulkUpdate: ({ em, random, note }) =>
    Org.cqrs(em).bulkUpdate({ rank: { $gt: number(random) } }, { rank: number(random), note }),
  'bulkUpdate by a relation': ({ em, random, note }) =>
    Item.cqrs(em).bulkUpdate({ org: { head: { tenant: random.pick(['a', 'b', 'c']) } } }, { v: number(random), note }),
  bulkUpsert: ({ em, random, note }) =>
    Item.cqrs(em).bulkUpsert(
      random.some(NUMBERS).map((n) => ({ org: random.pick(CODES), n, v: number(random), note })) as never,
      { onConflictFields: ['org', 'n'] },
    ),
  'bulkUpsert by email': ({ em, random, note }) =>
    Person.cqrs(em).bulkUpsert(
      random.some([0, 1, 2, 3, 4, 5], 1, 3).map((index) => ({ email: `${index}@x`, ...person(random, note) })) as never,
      { onConflictFields: ['email'] },
    ),
  bulkDelete: ({ em, random }) => Day.cqrs(em).bulkDelete({ day: { $in: random.some(DAYS, 1, 2) } }),
});
