import type { Version } from '../../wire/payload.js';
import type { BothEnds } from './both-ends.js';

/** A row that was sent and is still different. */
export interface SentRow {
  readonly name: string;
  readonly key: string[];
  /** The version that was withdrawn; undefined: the row's state was sent. */
  readonly withdrawal: Version | undefined;
}

/** Rows that the replica does not store as they are sent, and why: the replica is asked, which tries them out. */
export class KeptBack {
  /** How many rows there were, by reason. */
  readonly reasons: Record<string, number> = {};
  readonly #why = new Map<string, string>();

  constructor(private readonly ends: BothEnds) {}

  /** Rows of before are not asked about any more. */
  forget(): void {
    this.#why.clear();
  }

  reasonOf(name: string): string | undefined {
    return this.#why.get(name);
  }

  /** Asks page by page, as long as the replica knows any. @returns whether it can tell */
  async ask(rows: readonly SentRow[], deadline: number): Promise<boolean> {
    let open = rows;
    while (open.length > 0 && performance.now() < deadline) {
      const reasons = await this.ends.reasonsOf(open);
      if (!reasons) return false;
      for (const [name, reason] of reasons) {
        this.#why.set(name, reason);
        this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
      }
      if (reasons.size === 0) return true;
      open = open.filter(({ name }) => !this.#why.has(name));
    }
    return true;
  }
}
