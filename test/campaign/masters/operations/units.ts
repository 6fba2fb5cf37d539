import { LockMode } from '@mikro-orm/postgresql';
import { Animal, Badge, Cat, Day, Doc, Dog, Item, Node, Org, Person } from '../entities.ts';
import { operations } from './operation.ts';
import { ANIMALS, CODES, content, DAYS, DOCS, maybe, NODES, number, NUMBERS, PEOPLE, person, text } from './values.ts';

/** Entities in memory and `em.flush()`: the unit of work, its collections and cascades. */

export const units = operations('MikroORM', {
  'change one org': async ({ em, random, note }) => {
    const org = await em.findOne(Org, { code: random.pick(CODES) }, { refresh: true });
    if (!org) return;
    em.assign(org, { name: text(random), rank: maybe(random, number(random)), note });
    await em.flush();
  },
  'change an org under a lock': async ({ em, random, note }) => {
    if (!em.isInTransaction()) return;
    const lockMode = random.pick([LockMode.PESSIMISTIC_WRITE, LockMode.PESSIMISTIC_READ]);
    const org = await em.findOne(Org, { code: random.pick(CODES) }, { lockMode, refresh: true });
    if (!org) return;
    em.assign(org, { name: text(random), head: maybe(random, random.pick(PEOPLE), 0.3) as never, note });
    await em.flush();
  },
  'change several kinds in one flush': [
    2,
    async ({ em, random, note }) => {
      const people = await em.find(Person, { id: { $in: random.some(PEOPLE, 1, 4) } }, { refresh: true });
      const nodes = await em.find(Node, { id: { $in: random.some(NODES, 1, 3) } }, { refresh: true });
      for (const one of people) {
        em.assign(one, {
          name: text(random),
          home: maybe(random, { street: text(random), city: null }) as never,
          note,
        });
        if (random.chance(0.3)) one.manager = random.pick(people);
      }
      for (const one of nodes) em.assign(one, { v: number(random), twin: random.pick(nodes), note });
      await em.flush();
    },
  ],
  'change days in one flush': async ({ em, random, note }) => {
    const days = await em.find(Day, { day: { $in: random.some(DAYS, 2) } }, { refresh: true });
    for (const one of days) em.assign(one, { load: number(random), open: random.chance(0.7), note });
    await em.flush();
  },
  'change documents in one flush': async ({ em, random, note }) => {
    const docs = await em.find(Doc, { id: { $in: random.some(DOCS, 2) } }, { refresh: true });
    for (const one of docs) em.assign(one, content(random, note) as never);
    if (docs[0] && random.chance(0.2)) em.remove(docs[0]);
    await em.flush();
  },
  'change items in one flush': async ({ em, random, note }) => {
    const items = await em.find(Item, { org: random.pick(CODES) }, { refresh: true });
    for (const one of items) em.assign(one, { v: number(random), hidden: random.chance(0.3), note });
    await em.flush();
  },
  'swap the slots of two items': async ({ em, note }) => {
    const [one, other] = await em.find(
      Item,
      { slot: { $ne: null } },
      { limit: 2, refresh: true, orderBy: { slot: 1 } },
    );
    if (!one || !other) return;
    const { slot } = one;
    em.assign(one, { slot: null, note });
    await em.flush();
    em.assign(one, { slot: other.slot });
    em.assign(other, { slot: null, note });
    await em.flush();
    other.slot = slot;
    await em.flush();
  },
  'swap two emails in one flush': async ({ em, random, note }) => {
    const [one, other] = await em.find(
      Person,
      { email: { $ne: null } },
      { limit: 2, refresh: true, orderBy: { id: 1 } },
    );
    if (!one || !other) return;
    const { email } = one;
    em.assign(one, { email: other.email, note });
    em.assign(other, { email, name: text(random), note });
    await em.flush();
  },
  'create a family': async ({ em, random, note }) => {
    const parent = em.create(Node, { id: random.pick(NODES), v: number(random), note } as never);
    em.create(Node, { id: random.pick(NODES), v: number(random), parent, twin: parent, note } as never);
    await em.flush();
  },
  'remove a tree': async ({ em, random }) => {
    const root = await em.findOne(Node, random.pick(NODES), {
      populate: ['children.children'],
      refresh: true,
    } as never);
    if (!root) return;
    em.remove(root);
    await em.flush();
  },
  'create an org with its head, who belongs to it': async ({ em, random, note }) => {
    const org = em.create(Org, { code: random.pick(CODES), name: text(random), note } as never);
    const head = em.create(Person, { ...person(random, note), org } as never);
    org.head = head;
    await em.flush();
  },
  'create animals': async ({ em, random, note }) => {
    for (const id of random.some(ANIMALS, 1, 2)) {
      const entity = random.pick([Animal, Cat, Dog]);
      em.create(entity as typeof Animal, { id, name: text(random), v: number(random), note } as never);
    }
    await em.flush();
  },
  'change animals in one flush': async ({ em, random, note }) => {
    for (const one of await em.find(Animal, {}, { limit: 4, refresh: true, orderBy: { id: 1 } })) {
      em.assign(one, { v: one.v + 1, name: random.chance(0.5) ? text(random) : one.name, note });
    }
    await em.flush();
  },
  'remove an animal': async ({ em, random }) => {
    const one = await em.findOne(Animal, { id: random.pick(ANIMALS) }, { refresh: true });
    if (one) em.remove(one);
    await em.flush();
  },
  'add and drop badges': [
    2,
    async ({ em, random, note }) => {
      const owner = await em.findOne(Person, random.pick(PEOPLE), { populate: ['badges'], refresh: true } as never);
      if (!owner) return;
      for (const badge of owner.badges.getItems()) {
        if (random.chance(0.4)) owner.badges.remove(badge);
        else em.assign(badge, { label: text(random), note });
      }
      if (random.chance(0.7)) owner.badges.add(em.create(Badge, { label: text(random), note } as never));
      await em.flush();
    },
  ],
  'take all badges from a person': async ({ em, random }) => {
    const owner = await em.findOne(Person, random.pick(PEOPLE), { populate: ['badges'], refresh: true } as never);
    owner?.badges.removeAll();
    await em.flush();
  },
  'hang items under an org': async ({ em, random, note }) => {
    const org = await em.findOne(Org, random.pick(CODES), { refresh: true });
    if (!org) return;
    em.create(Item, {
      org,
      n: random.pick(NUMBERS),
      v: number(random),
      slot: maybe(random, random.int(5), 0.3),
      note,
    } as never);
    await em.flush();
  },
  'hand people to another org': async ({ em, random, note }) => {
    const org = await em.findOne(Org, random.pick(CODES), { refresh: true });
    for (const one of await em.find(Person, { id: { $in: random.some(PEOPLE, 1, 3) } }, { refresh: true })) {
      em.assign(one, { org: org as never, preferences: { theme: text(random), level: 1 }, note });
    }
    await em.flush();
  },
  'remove a person': async ({ em, random }) => {
    const one = await em.findOne(Person, random.pick(PEOPLE), { populate: ['badges'], refresh: true } as never);
    if (one) em.remove(one);
    await em.flush();
  },
  'create and remove in one flush after another': async ({ em, random, note }) => {
    const badge = em.create(Badge, { label: text(random), note } as never);
    await em.flush();
    badge.label = text(random);
    await em.flush();
    if (random.chance(0.6)) {
      em.remove(badge);
      await em.flush();
    }
  },
  'carry our columns back': async ({ em, random, note }) => {
    const org = await em.findOne(Org, { code: random.pick(CODES) }, { refresh: true });
    if (!org) return;
    em.assign(org, { cqrsRevision: 77, name: text(random), note } as never);
    await em.flush();
  },
});
