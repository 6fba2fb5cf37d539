import type { MikroORM } from '@mikro-orm/postgresql';
import { Animal, Badge, Day, Doc, Item, Node, Org, Person } from './entities.ts';
import {
  ANIMALS,
  BADGES,
  CODES,
  content,
  DAYS,
  DOCS,
  NODES,
  number,
  NUMBERS,
  PEOPLE,
  person,
  text,
} from './operations/values.ts';
import { Random } from './random.ts';

/** Most rows that programs choose are there when a round begins. */
export async function populate(orm: MikroORM, seed: number): Promise<void> {
  const random = Random.of(seed, 0x9090);
  const note = 'beginning';
  const some = <T>(all: readonly T[]): T[] => all.filter(() => random.chance(0.6));
  await orm.em.fork().transactional(async (em) => {
    const codes = some(CODES);
    await em.insertMany(
      Org,
      codes.map((code) => ({ code, name: text(random), rank: number(random), note })),
    );
    const people = some(PEOPLE);
    await em.insertMany(
      Person,
      people.map((id) => ({ id, ...person(random, note), email: id < 5 ? `${id}@x` : null, org: random.pick(codes) })),
    );
    await em.insertMany(
      Badge,
      some(BADGES).map((id) => ({ id, label: text(random), person: random.pick(people), note })),
    );
    for (const org of codes) {
      const items = some(NUMBERS).map((n) => ({ org, n, v: number(random), hidden: random.chance(0.2), note }));
      if (items.length > 0) await em.insertMany(Item, items);
    }
    await em.insertMany(
      Doc,
      some(DOCS).map((id) => ({ id, ...content(random, note) })),
    );
    await em.insertMany(
      Animal,
      some(ANIMALS).map((id) => ({ id, kind: random.pick(['animal', 'cat', 'dog']), name: text(random), v: 0, note })),
    );
    await em.insertMany(
      Day,
      some(DAYS).map((day) => ({ day, load: number(random), open: random.chance(0.8), note })),
    );
    const nodes = some(NODES);
    await em.insertMany(
      Node,
      nodes.map((id) => ({ id, v: number(random), note })),
    );
    for (const code of codes) await em.nativeUpdate(Org, code, { head: random.pick(people) });
    for (const id of nodes.slice(2))
      await em.nativeUpdate(Node, id, { parent: random.pick(nodes.slice(0, 2)), twin: random.pick(nodes) });
  });
}
