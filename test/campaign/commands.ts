import fc from 'fast-check';
import type { Arena } from './arena.ts';
import { anyFault, bring, type Fault, sync } from './faults.ts';
import type { Model } from './model.ts';
import { rowName, readRows, type Table } from './rows.ts';
import { run, type Tally, type Transaction, transaction } from './writes.ts';

/** One round: its hundred keys, what happened in it, and what it leaves in the background. */
export interface Round {
  readonly arena: Arena;
  readonly base: number;
  readonly tally: Tally & { syncs: number; readonly faults: Partial<Record<Fault['kind'], number>> };
  readonly background: Promise<unknown>[];
  readonly ended: AbortController;
}

type Command = fc.AsyncCommand<Model, Round>;

/** Each lane has ten keys of its own, so that the model knows who was last. */
const LANES = 4;
const keysOf = (base: number, lane: number): number[] => Array.from({ length: 10 }, (_, key) => base + lane * 10 + key);

/** Several transactions at once, on keys of their own. */
class Write implements Command {
  constructor(private readonly lanes: readonly (readonly Transaction[])[]) {}
  check = (): boolean => true;
  toString = (): string => `write(${this.lanes.map((lane) => lane.length).join('+')})`;
  async run(model: Model, { arena, base, tally }: Round): Promise<void> {
    await Promise.all(
      this.lanes.map(async (lane, index) => {
        for (const one of lane) await run(arena.writer.orm, model, one, keysOf(base, index), tally);
      }),
    );
  }
}

/** Two transactions at once on one key: one of them is last, and the whole system agrees on which. */
class Race implements Command {
  constructor(
    private readonly table: Table,
    private readonly key: number,
    private readonly values: readonly [number, number],
  ) {}
  check = (): boolean => true;
  toString = (): string => `race(${this.table} ${this.key})`;
  async run(model: Model, { arena, base, tally }: Round): Promise<void> {
    const id = base + LANES * 10 + this.key;
    const name = rowName({ table: this.table, id });
    if (!model.isKnown(name)) return;
    const before = tally.doubtful;
    const drafts = this.values.map((value) => {
      const draft = model.draft();
      draft.set({ table: this.table, id, value, text: 'upsert' });
      return draft;
    });
    await Promise.all(
      this.values.map((value) => {
        const steps = [{ way: 'upsert', table: this.table, key: 0, value, flaky: false } as const];
        return run(arena.writer.orm, model, { steps, end: 'commit', thinksMs: 0 }, [id], tally);
      }),
    );
    if (tally.doubtful > before) return model.doubt([undefined, ...drafts]);
    const real = (await readRows(arena.stage.master.orm.em, base).catch(() => undefined))?.get(name);
    if (real === undefined) return model.doubt([undefined, ...drafts]);
    const last = drafts.find((_, index) => real === `${this.values[index]} upsert`);
    if (last) model.commit(last);
  }
}

class Sync implements Command {
  constructor(
    private readonly cqrsId: Table,
    private readonly targeted: boolean,
  ) {}
  check = (): boolean => true;
  toString = (): string => `sync(${this.cqrsId}${this.targeted ? ', one queue' : ''})`;
  async run(_: Model, { arena, base, tally, background, ended }: Round): Promise<void> {
    tally.syncs++;
    const { cqrsId, targeted } = this;
    // Cut off by a fault it is simply not finished: a SYNC only repeats.
    background.push(sync(arena, { cqrsId, base, targeted, signal: ended.signal }).catch(() => {}));
  }
}

class Trouble implements Command {
  constructor(private readonly fault: Fault) {}
  check = (): boolean => true;
  toString = (): string => `${this.fault.kind}(${this.fault.whom}, ${this.fault.lastsMs} ms)`;
  async run(_: Model, { arena, tally }: Round): Promise<void> {
    const { kind } = this.fault;
    if (await bring(arena, this.fault)) tally.faults[kind] = (tally.faults[kind] ?? 0) + 1;
    // So that not all faults of a round are one: the system gets to work between them, more often than not in trouble.
    await new Promise((resolve) => setTimeout(resolve, this.fault.lastsMs / 8));
  }
}

const lanes = fc.array(fc.array(transaction, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: LANES });
const table = fc.constantFrom<Table[]>('plain', 'watched');

/** Writes, and in the middle of them everything that breaks in production. */
export const commands = fc.commands<Model, Round, false>(
  [
    lanes.map((all) => new Write(all)),
    lanes.map((all) => new Write(all)),
    fc.tuple(table, fc.nat(4), fc.tuple(fc.nat(999_999), fc.nat(999_999))).map((args) => new Race(...args)),
    fc.tuple(table, fc.boolean()).map((args) => new Sync(...args)),
    ...Array.from({ length: 8 }, () => anyFault.map((one) => new Trouble(one))),
  ],
  { maxCommands: 300, size: 'max' },
);
