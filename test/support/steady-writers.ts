import { UniqueConstraintViolationException } from '@mikro-orm/core';
import type { MikroORM } from '@mikro-orm/postgresql';
import type pg from 'pg';

/** One write of one row in a transaction of its own; answers whether there was anything to write. */
export type Write = (id: number) => Promise<boolean>;

const KEYS = 40;

/**
 * Writers that go on while something else is done: each creates, changes and deletes rows of the same few keys, at random.
 * Every write that met a row makes one version of it, which nobody else makes.
 */
export class SteadyWriters {
  /** How many writes have met a row. */
  written = 0;
  readonly #running = new Map<string, { stopped: boolean; done: Promise<void> }>();
  readonly #counts = new Map<string, number>();
  #wake = Promise.withResolvers<void>();

  start(name: string, writes: readonly Write[]): void {
    const state = { stopped: false, done: Promise.resolve() };
    state.done = this.#run(name, writes, state);
    state.done.catch(() => this.#wake.resolve()); // told by whoever waits
    this.#running.set(name, state);
  }

  /** Resolves when each of those that run has written so many rows more. */
  async more(rows: number): Promise<void> {
    const goals = [...this.#running.keys()].map((name) => [name, (this.#counts.get(name) ?? 0) + rows] as const);
    for (const [name, goal] of goals) {
      while ((this.#counts.get(name) ?? 0) < goal) {
        await this.#wake.promise;
        if ((this.#counts.get(name) ?? 0) < goal)
          await Promise.race([this.#running.get(name)!.done, this.#wake.promise]);
      }
    }
  }

  /** Those with these names, or all. */
  async stop(...names: readonly string[]): Promise<void> {
    for (const name of names.length > 0 ? names : this.#running.keys()) {
      const state = this.#running.get(name)!;
      state.stopped = true;
      this.#running.delete(name);
      await state.done;
    }
  }

  async #run(name: string, writes: readonly Write[], state: { readonly stopped: boolean }): Promise<void> {
    while (!state.stopped) {
      const write = writes[Math.floor(Math.random() * writes.length)]!;
      if (!(await write(1 + Math.floor(Math.random() * KEYS)))) continue;
      this.written++;
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
  }
}

/** How a service writes its master `Thing`: more updates than the rest. */
export function writesOf(orm: MikroORM): readonly Write[] {
  const Thing = 'Thing' as never;
  const update: Write = async (id) =>
    (await orm.em.fork().nativeUpdate(Thing, { id } as never, { name: `${Math.random()}` } as never)) > 0;
  return [
    update,
    update,
    (id) =>
      orm.em
        .fork()
        .insert(Thing, { id, name: `${Math.random()}` } as never)
        .then(() => true, isThereAlready),
    async (id) => (await orm.em.fork().nativeDelete(Thing, { id } as never)) > 0,
  ];
}

function isThereAlready(error: unknown): false {
  if (error instanceof UniqueConstraintViolationException) return false;
  throw error;
}

/** How another program writes its table. */
export function foreignWrites(client: pg.Client): readonly Write[] {
  const one =
    (text: string): Write =>
    async (id) =>
      (await client.query(text, [id])).rowCount === 1;
  return [
    one(`update thing set name = 'other ' || random() where id = $1`),
    one(`insert into thing (id, name) values ($1, 'other') on conflict do nothing`),
    one('delete from thing where id = $1'),
  ];
}

/** A version of a row, as its message says it. */
export function versionOf(body: string): string {
  const { signal_type, instance_pk, cqrs_incarnation, instance_data } = JSON.parse(body);
  return [signal_type, instance_pk, cqrs_incarnation, instance_data.cqrs_revision].join(' ');
}
