import { raw } from '@mikro-orm/postgresql';
import { Animal, Badge, Cat, Day, Doc, Dog, Item, Node, Org, Person } from '../entities.ts';
import { operations, type Operation } from './operation.ts';
import {
  ANIMALS,
  BADGES,
  CODES,
  content,
  DAYS,
  DOCS,
  hardContent,
  maybe,
  NODES,
  number,
  NUMBERS,
  PEOPLE,
  person,
  text,
} from './values.ts';

/** `em.insert`, `insertMany`, `nativeUpdate`, `nativeDelete`, `upsert`, `upsertMany`: without entities in memory. */

type Run = Operation['run'];

const inserts: Record<string, Run> = {
  'insert org': ({ em, random, note }) => em.insert(Org, { code: random.pick(CODES), name: text(random), note }),
  'insert person': ({ em, random, note }) =>
    em.insert(Person, {
      ...person(random, note),
      ...(random.chance(0.6) && { id: random.pick(PEOPLE) }),
      email: maybe(random, `${random.int(6)}@x`, 0.3),
    }),
  'insertMany animals': ({ em, random, note }) =>
    em.insertMany(
      Animal,
      random.some(ANIMALS, 1, 3).map((id) => ({ id, kind: 'animal', name: text(random), v: number(random), note })),
    ),
  'insertMany documents': ({ em, random, note }) =>
    em.insertMany(
      Doc,
      random.some(DOCS, 1, 3).map((id) => ({ id, ...content(random, note) })),
    ),
  'insert day': ({ em, random, note }) =>
    em.insert(Day, { day: random.pick(DAYS), load: number(random), open: random.chance(0.7), note }),
  'insert badges without keys': ({ em, random, note }) =>
    em.insertMany(
      Badge,
      Array.from({ length: 1 + random.int(3) }, () => ({ label: text(random), note })),
    ),
};

const updates: Record<string, Run> = {
  'update orgs by key': ({ em, random, note }) =>
    em.nativeUpdate(Org, { code: { $in: random.some(CODES) } }, { rank: raw('coalesce(rank, 0) + 1'), note }),
  'update org memo': ({ em, random }) => em.nativeUpdate(Org, { code: random.pick(CODES) }, { memo: text(random) }),
  'update org by head': ({ em, random, note }) =>
    em.nativeUpdate(Org, { head: { tenant: random.pick(['a', 'b', 'c']) } }, { rank: number(random), note }),
  'update people by org': ({ em, random, note }) =>
    em.nativeUpdate(Person, { org: { name: { $ne: text(random) } } }, { name: text(random), note }),
  'update people by a condition over two relations': ({ em, random, note }) =>
    em.nativeUpdate(
      Person,
      { $or: [{ manager: { tenant: random.pick(['a', 'b']) } }, { org: { head: { name: text(random) } } }] },
      { preferences: { theme: text(random), level: maybe(random, number(random)) }, note },
    ),
  'update people by their badges': ({ em, random, note }) =>
    em.nativeUpdate(
      Person,
      { badges: { label: { $ne: text(random) } } },
      { home: { street: text(random), city: maybe(random, 'c') }, note },
    ),
  'update everyone': ({ em, random, note }) => em.nativeUpdate(Person, {}, { name: text(random), note }),
  'update items by org': ({ em, random, note }) =>
    em.nativeUpdate(Item, { org: { rank: { $gte: number(random) } } }, { v: raw('(v * 7 + 1) % 101'), note }),
  'update items by half a key': ({ em, random, note }) =>
    em.nativeUpdate(Item, { org: random.pick(CODES) }, { hidden: random.chance(0.4), v: number(random), note }),
  'update days': ({ em, random, note }) =>
    em.nativeUpdate(
      Day,
      { day: { $in: random.some(DAYS) } },
      { open: random.chance(0.6), load: raw('load + 1'), note },
    ),
  'update documents': ({ em, random, note }) =>
    em.nativeUpdate(Doc, { id: { $in: random.some(DOCS, 1, 3) } }, hardContent(random, note)),
  'update nodes': ({ em, random, note }) =>
    em.nativeUpdate(Node, { v: { $gt: number(random) } }, { v: raw('(v * 7) % 101'), note }),
  'update nodes by parent': ({ em, random, note }) =>
    em.nativeUpdate(Node, { parent: { v: { $lt: number(random) } } }, { label: text(random), note }),
  'update animals': ({ em, random, note }) =>
    em.nativeUpdate(Animal, { id: { $in: random.some(ANIMALS, 1, 3) } }, { v: raw('v + 1'), name: text(random), note }),
  'update dogs': ({ em, random, note }) => em.nativeUpdate(Dog, {}, { barks: random.chance(0.5), note }),
  'change the class of an animal': ({ em, random, note }) =>
    em.nativeUpdate(Animal, { id: random.pick(ANIMALS) }, { kind: random.pick(['animal', 'cat', 'dog']), note }),
  'update nothing': ({ em, random, note }) =>
    em.nativeUpdate(Day, { day: '1900-01-01' }, { load: number(random), note }),
  'update an own column': ({ em, random, note }) =>
    em.nativeUpdate(Org, { code: random.pick(CODES) }, { cqrsRevision: 999, name: text(random), note }),
};

const moves: Record<string, Run> = {
  'move the key of an org': ({ em, random, note }) =>
    em.nativeUpdate(Org, { code: random.pick(CODES) }, { code: random.pick(CODES), note }),
  'move the key of a document': ({ em, random, note }) =>
    em.nativeUpdate(Doc, { id: random.pick(DOCS) }, { id: random.pick(DOCS), note }),
  'move the key of a day': ({ em, random, note }) =>
    em.nativeUpdate(Day, { day: random.pick(DAYS) }, { day: random.pick(DAYS), note }),
  'move half the key of an item': ({ em, random, note }) =>
    em.nativeUpdate(Item, { org: random.pick(CODES), n: random.pick(NUMBERS) }, { n: random.pick(NUMBERS), note }),
  'move the other half': ({ em, random, note }) =>
    em.nativeUpdate(Item, { org: random.pick(CODES), n: random.pick(NUMBERS) }, { org: random.pick(CODES), note }),
};

const deletes: Record<string, Run> = {
  'delete org': ({ em, random }) => em.nativeDelete(Org, { code: random.pick(CODES) }),
  'delete people': ({ em, random }) => em.nativeDelete(Person, { id: random.pick(PEOPLE) }),
  'delete badges by person': ({ em, random }) =>
    em.nativeDelete(Badge, { person: { tenant: random.pick(['a', 'b', 'c']) } }),
  'delete items by org': ({ em, random }) =>
    em.nativeDelete(Item, { org: { name: { $ne: text(random) } }, n: random.pick(NUMBERS) }),
  'delete item': ({ em, random }) => em.nativeDelete(Item, { org: random.pick(CODES), n: random.pick(NUMBERS) }),
  'delete documents': ({ em, random }) => em.nativeDelete(Doc, { id: { $in: random.some(DOCS, 1, 2) } }),
  'delete animals': ({ em, random }) => em.nativeDelete(Animal, { id: random.pick(ANIMALS) }),
  'delete cats': ({ em }) => em.nativeDelete(Cat, {}),
  'delete days': ({ em, random }) => em.nativeDelete(Day, { day: random.pick(DAYS) }),
  'delete leaves': ({ em, random }) =>
    em.nativeDelete(Node, { id: random.pick(NODES), children: { $none: {} } } as never),
  'delete and insert again': async ({ em, random, note }) => {
    const key = { org: random.pick(CODES), n: random.pick(NUMBERS) };
    await em.nativeDelete(Item, key);
    await em.insert(Item, { ...key, v: number(random), note });
    if (random.chance(0.3)) await em.nativeDelete(Item, key);
  },
};

const upserts: Record<string, Run> = {
  'upsert org': ({ em, random, note }) =>
    em.upsert(Org, { code: random.pick(CODES), name: text(random), rank: number(random), note }),
  'upsertMany orgs': ({ em, random, note }) =>
    em.upsertMany(
      Org,
      random.some(CODES).map((code) => ({ code, name: text(random), note })),
    ),
  'upsert person': ({ em, random, note }) =>
    em.upsert(Person, {
      id: random.pick(PEOPLE),
      ...person(random, note),
      org: maybe(random, random.pick(CODES), 0.5),
    }),
  'upsert person by email': ({ em, random, note }) =>
    em.upsert(Person, { email: `${random.int(6)}@x`, ...person(random, note) }),
  'upsert person by email, with another key': ({ em, random, note }) =>
    em.upsert(
      Person,
      { id: random.pick(PEOPLE), email: `${random.int(6)}@x`, ...person(random, note) },
      { onConflictFields: ['email'], onConflictAction: 'merge' },
    ),
  'upsertMany people by email': ({ em, random, note }) =>
    em.upsertMany(
      Person,
      random.some([0, 1, 2, 3, 4, 5], 1, 3).map((index) => ({ email: `${index}@x`, ...person(random, note) })),
      { onConflictFields: ['email'], onConflictExcludeFields: ['tenant'] },
    ),
  'upsert person, ignoring': ({ em, random, note }) =>
    em.upsert(Person, { id: random.pick(PEOPLE), ...person(random, note) }, { onConflictAction: 'ignore' }),
  'upsert item': ({ em, random, note }) =>
    em.upsert(Item, {
      org: random.pick(CODES),
      n: random.pick(NUMBERS),
      v: number(random),
      hidden: random.chance(0.3),
      note,
    }),
  'upsert item by slot': ({ em, random, note }) =>
    em.upsert(
      Item,
      { org: random.pick(CODES), n: random.pick(NUMBERS), slot: random.int(5), v: number(random), note },
      { onConflictFields: ['slot'], onConflictMergeFields: ['v', 'note'] },
    ),
  'upsert document': ({ em, random, note }) => em.upsert(Doc, { id: random.pick(DOCS), ...content(random, note) }),
  'upsertMany documents': ({ em, random, note }) =>
    em.upsertMany(
      Doc,
      random.some(DOCS, 1, 4).map((id) => ({ id, ...content(random, note) })),
    ),
  'upsert animal': ({ em, random, note }) =>
    em.upsert(Animal, { id: random.pick(ANIMALS), kind: 'animal', name: text(random), v: number(random), note }),
  'upsert dog': ({ em, random, note }) =>
    em.upsert(Dog, {
      id: random.pick(ANIMALS),
      kind: 'dog',
      name: text(random),
      v: number(random),
      barks: true,
      note,
    } as never),
  'upsert days': ({ em, random, note }) =>
    em.upsertMany(
      Day,
      random.some(DAYS).map((day) => ({ day, load: number(random), open: random.chance(0.6), note })),
    ),
  'upsert node': ({ em, random, note }) =>
    em.upsert(Node, {
      id: random.pick(NODES),
      label: maybe(random, text(random)),
      v: number(random),
      parent: maybe(random, random.pick(NODES), 0.4),
      twin: maybe(random, random.pick(NODES), 0.3),
      note,
    }),
  'upsert badge': ({ em, random, note }) =>
    em.upsert(Badge, {
      id: random.pick(BADGES),
      label: text(random),
      person: maybe(random, random.pick(PEOPLE), 0.6),
      note,
    }),
};

/** Most meet a key that is in use, which ends their transaction. */
const seldom = (all: Record<string, Run>): Record<string, [number, Run]> =>
  Object.fromEntries(Object.entries(all).map(([name, run]) => [name, [0.3, run]]));

export const natives = [
  ...operations('MikroORM', seldom(inserts)),
  ...operations('MikroORM', updates),
  ...operations('MikroORM', seldom(moves)),
  ...operations('MikroORM', deletes),
  ...operations('MikroORM', upserts),
];
