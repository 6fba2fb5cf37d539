import type { Change, Committed } from './decoding.ts';

/**
 * With triggers a transaction leaves changes in `cqrs_captured`, and messages are made of them later, in transactions of
 * the relay. Puts both together: each transaction comes out with the messages that were made of it, in the order of the
 * COMMITs. The relay makes one at a time, so that what it removes and what it puts into the outbox belong together.
 */
export class MadeLater {
  readonly #waiting: { committed: Committed; changes: Change[]; open: Set<string> }[] = [];
  readonly #byId = new Map<string, { changes: Change[]; open: Set<string> }>();

  /** @returns those that are complete */
  add(transactions: readonly Committed[]): Committed[] {
    for (const committed of transactions) {
      const captured = committed.changes.filter(({ table }) => table === 'cqrs_captured');
      const removed = captured.filter(({ before, after }) => before && !after && this.#byId.has(before['id']!.text!));
      if (removed.length > 0) this.#made(removed, committed);
      else this.#noted(captured, committed);
    }
    const done: Committed[] = [];
    while (this.#waiting[0]?.open.size === 0) {
      const { committed, changes } = this.#waiting.shift()!;
      done.push({ ...committed, changes });
    }
    return done;
  }

  #noted(captured: readonly Change[], committed: Committed): void {
    const open = new Set(captured.flatMap(({ after }) => after?.['id']?.text ?? []));
    const entry = { committed, changes: committed.changes.filter(({ table }) => table !== 'cqrs_captured'), open };
    this.#waiting.push(entry);
    for (const id of open) this.#byId.set(id, entry);
  }

  #made(removed: readonly Change[], { changes, xid }: Committed): void {
    if (removed.length > 1) throw new Error(`Transaction ${xid} made messages of ${removed.length} changes at a time.`);
    const id = removed[0]!.before!['id']!.text!;
    const entry = this.#byId.get(id)!;
    this.#byId.delete(id);
    entry.changes.push(...changes.filter(({ table }) => table === 'cqrs_outbox'));
    entry.open.delete(id);
  }
}
