import { AsyncLocalStorage } from 'node:async_hooks';
import { type EventArgs, type EventSubscriber, type FlushEventArgs, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../../src/index.js';
import type { CaptureMode } from './mode.ts';
import { Audit, Badge, MASTERS, Node, Org, Person, Stat } from './entities.ts';

export interface Service {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
}

/** Hooks that write: into the same flush, into the transaction after it, masters and a table that is none. */
class Counting implements EventSubscriber {
  /** Joins the flush with a row of its own. */
  async onFlush({ em, uow }: FlushEventArgs): Promise<void> {
    const people = uow.getChangeSets().filter(({ entity, type }) => entity instanceof Person && type === 'update');
    for (const { entity } of people) {
      const { name } = entity as Person;
      uow.computeChangeSet(em.create(Badge, { label: name, note: 'subscriber' } as never));
    }
  }

  async afterDelete({ em, entity }: EventArgs<object>): Promise<void> {
    if (entity instanceof Badge) await em.upsert(Stat, { id: 'Badge', count: 1, note: 'subscriber' } as never);
  }

  async afterFlush({ em, uow }: FlushEventArgs): Promise<void> {
    const changed = uow.getChangeSets().map(({ entity }) => entity.constructor);
    if (!em.isInTransaction()) return;
    for (const entity of [Org, Node]) {
      if (!changed.includes(entity)) continue;
      const id = entity.name;
      await em.upsert(Stat, { id, count: changed.length, note: 'subscriber' } as never);
      await em.insert(Audit, { text: id } as never);
    }
  }
}

/** The name of the program at work, for the messages that it writes. */
export const atWork = new AsyncLocalStorage<string>();

/** Masters without a relay. */
export async function openMasters(
  url: string,
  capture: CaptureMode['name'],
  settings: Partial<CqrsOptions> = {},
): Promise<Service> {
  const cqrs = new Cqrs({
    transport: 'MemoryTransport',
    master: { capture, correlationFunction: () => atWork.getStore() ?? null },
    ...settings,
  });
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: MASTERS,
    extensions: [cqrs],
    subscribers: [new Counting()],
    pool: { min: 0, max: 8 },
    driverOptions: { application_name: 'campaign writer' },
  } as never);
  return { orm, cqrs };
}
