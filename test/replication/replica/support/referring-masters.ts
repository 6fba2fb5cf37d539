import fc from 'fast-check';
import { isTransient } from '../../../../src/messaging/inbox/faults.js';
import type { Received } from '../../../../src/messaging/inbox/handler.js';
import type { Applier } from '../../../../src/replication/replica/applier.js';
import { message, START } from './messages.js';

/**
 * Masters whose rows refer to each other: `left` and `right` to one another, `node` to itself, `part` to a `left` that it
 * cannot do without. Foreign keys hold after every step, as in a database.
 */
export const TABLES = ['left', 'right', 'node', 'part'] as const;
export type Table = (typeof TABLES)[number];

const TARGETS: Readonly<Record<Table, Table>> = { left: 'right', right: 'left', node: 'node', part: 'left' };
const KEYS = 2;

interface Step {
  readonly kind: 'pair' | 'create' | 'update' | 'delete' | 'replace' | 'unpair';
  readonly table: Table;
  readonly key: number;
  /** The key that it refers to; null for none. */
  readonly to: number | null;
}

interface Row {
  incarnation: number;
  revision: number;
  updated: number;
  to: number | null;
}

const key = fc.nat({ max: KEYS - 1 });

export const referringHistories = fc.record({
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom('pair', 'create', 'update', 'update', 'delete', 'replace', 'unpair'),
      table: fc.constantFrom(...TABLES),
      key,
      to: fc.option(key),
    }),
    { minLength: 3, maxLength: 14, size: 'max' },
  ) as fc.Arbitrary<Step[]>,
  ranks: fc.array(fc.record({ rank: fc.nat({ max: 1_000 }), times: fc.integer({ min: 1, max: 2 }) }), {
    minLength: 30,
    maxLength: 30,
  }),
  cuts: fc.array(fc.record({ size: fc.integer({ min: 1, max: 8 }), worker: fc.constantFrom(0, 1) }), {
    minLength: 1,
    maxLength: 6,
  }),
});

/** What the steps announce, and what is there in the end: `table key → reference`. */
export function runSteps(
  steps: readonly Step[],
  firstKey: number,
): { messages: Received[]; rows: Record<string, number | null> } {
  const rows = new Map<string, Row>();
  const messages: Received[] = [];
  let clock = START;
  const send = (table: Table, id: number, row: Row, signal: 'SAVE' | 'DELETE' = 'SAVE'): void => {
    const reference = row.to === null ? null : firstKey + row.to;
    messages.push(message({ id: firstKey + id, to: reference }, { cqrsId: table, signal, ...row, committedAt: null }));
  };
  const at = (table: Table, id: number): Row | undefined => rows.get(`${table} ${id}`);
  const save = (table: Table, id: number, to: number | null): void => {
    const row = at(table, id);
    const next = row
      ? { ...row, revision: row.revision + 1, updated: ++clock, to }
      : { incarnation: ++clock, revision: 0, updated: clock, to };
    rows.set(`${table} ${id}`, next);
    send(table, id, next);
  };
  const remove = (table: Table, id: number): void => {
    const row = at(table, id)!;
    rows.delete(`${table} ${id}`);
    send(table, id, { ...row, revision: row.revision + 1, updated: ++clock }, 'DELETE');
  };
  /** Rows that refer to one that is to go let go of it, or go with it. */
  const release = (table: Table, id: number): void => {
    for (const other of TABLES) {
      for (let n = 0; n < KEYS; n++) {
        const row = at(other, n);
        if (TARGETS[other] !== table || row?.to !== id || (other === table && n === id)) continue;
        if (other === 'part') remove(other, n);
        else save(other, n, null);
      }
    }
  };
  for (const { kind, table, key: id, to } of steps) {
    clock += 1_000;
    const target = TARGETS[table];
    const reference = to !== null && (at(target, to) || (target === table && to === id)) ? to : null;
    const row = at(table, id);
    if (kind === 'pair') {
      // In one transaction; their messages are the states at its end.
      if (at('left', id) || at('right', id)) continue;
      save('left', id, id);
      save('right', id, id);
    } else if (kind === 'unpair') {
      if (at('left', id)?.to !== id || at('right', id)?.to !== id) continue;
      for (let n = 0; n < KEYS; n++) if (at('part', n)?.to === id) remove('part', n);
      for (const [one, other] of [
        ['left', 'right'],
        ['right', 'left'],
      ] as const) {
        for (let n = 0; n < KEYS; n++) if (n !== id && at(one, n)?.to === id && at(other, id)) save(one, n, null);
      }
      remove('left', id);
      remove('right', id);
    } else if (kind === 'delete' && row) {
      release(table, id);
      remove(table, id);
    } else if (table === 'part' && reference === null) continue;
    else if (kind === 'create' && !row) save(table, id, reference);
    else if (kind === 'update' && row) save(table, id, reference);
    else if (kind === 'replace' && row) {
      // Deleted and made anew in one transaction, the rows that refer to it as well as they were.
      const next = { incarnation: ++clock, revision: row.revision + 1, updated: clock, to: reference };
      rows.set(`${table} ${id}`, next);
      send(table, id, next);
    }
  }
  const there = [...rows].map(([name, row]) => [name, row.to] as const);
  return { messages, rows: Object.fromEntries(there.toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

/** Hands them to two workers at once, and what waits again and again, as a broker does. */
export async function deliverUntilNothingWaits(
  messages: readonly Received[],
  {
    ranks,
    cuts,
  }: { ranks: readonly { rank: number; times: number }[]; cuts: readonly { size: number; worker: number }[] },
  applier: Applier,
): Promise<void> {
  let open = messages
    .flatMap((one, index) => {
      const { rank, times } = ranks[index % ranks.length]!;
      return Array.from({ length: times }, (_, time) => ({ one, place: (rank + time * 389) % 1_009 }));
    })
    .toSorted((a, b) => a.place - b.place)
    .map(({ one }) => one);
  for (let round = 0; open.length > 0; round++) {
    if (round > 20) throw new Error(`${open.length} messages wait for ever`);
    const queues: [Received[][], Received[][]] = [[], []];
    for (let from = 0, index = round; from < open.length; index++) {
      const { size, worker } = cuts[index % cuts.length]!;
      queues[worker]!.push(open.slice(from, from + size));
      from += size;
    }
    const waiting = await Promise.all(
      queues.map(async (batches) => {
        const left: Received[] = [];
        for (const batch of batches) left.push(...(await handle(applier, batch)));
        return left;
      }),
    );
    open = waiting.flat();
  }
}

/** As the consumer does. @returns those that wait */
async function handle(applier: Applier, batch: readonly Received[]): Promise<readonly Received[]> {
  for (;;) {
    try {
      const outcomes = await applier.handle(batch);
      const failed = batch.filter((_, index) => outcomes[index]!.kind === 'failed');
      const broken = outcomes.find(
        (end) => end.kind === 'dead-letter' || (end.kind === 'failed' && end.reason !== 'foreign-key'),
      );
      if (broken) throw new Error(`a message ended as ${broken.kind}`, { cause: broken });
      const superseded = batch.filter((_, index) => {
        const end = outcomes[index]!;
        return failed.length > 0 && end.kind === 'skipped' && end.reason === 'superseded';
      });
      return superseded.length > 0 ? [...failed, ...(await handle(applier, superseded))] : failed;
    } catch (error) {
      if (isTransient(error)) continue;
      if (batch.length === 1 || (error instanceof Error && error.message.startsWith('a message ended'))) throw error;
      const middle = Math.ceil(batch.length / 2);
      return [...(await handle(applier, batch.slice(0, middle))), ...(await handle(applier, batch.slice(middle)))];
    }
  }
}
