import { decide, type Decision, type Incoming, type RuleOptions, type Stored } from './revision-rules.js';

/** What several messages of one key come to. */
export interface Folded {
  /** One a message, in the same order. */
  readonly decisions: readonly (Decision | { readonly action: 'superseded'; readonly aheadBy?: number })[];
  /** What is stored once all of them are done. */
  readonly final: Stored;
  /** The one write that gets there, and the message it comes from; undefined when nothing changes. */
  readonly change?: Change;
}

export interface Change {
  readonly action: 'create' | 'update' | 'replace' | 'delete' | 'remember';
  /** Index of the message whose state is written. */
  readonly winner: number;
  /** A DELETE among them took the former row: it goes whatever its version, and what comes after begins on nothing. */
  readonly deleted: boolean;
}

/**
 * Runs the messages of one key, in the order they came, through the rules and keeps only what is left in the end:
 * those that would have been written and then written over are `superseded`.
 */
export function fold(stored: Stored, messages: readonly Incoming[], options: RuleOptions): Folded {
  const decisions: Folded['decisions'][number][] = [];
  let current = stored;
  let winner: number | undefined;
  let deleted = false;
  let replaced = false;
  for (const [index, message] of messages.entries()) {
    const decision = decide(current, message, options);
    decisions.push(decision);
    if (decision.action === 'skip' || decision.action === 'dead-letter') continue;
    if (winner !== undefined) {
      decisions[winner] = { action: 'superseded', aheadBy: decisions[winner]!.aheadBy };
    }
    winner = index;
    deleted ||= decision.action === 'delete';
    replaced ||= decision.action === 'replace';
    current = after(decision);
  }
  if (winner === undefined) return { decisions, final: current };
  return {
    decisions,
    final: current,
    change: { action: shortcut(stored, current, deleted || replaced), winner, deleted },
  };
}

/** What is stored after a decision that stores something. */
export function after(decision: Exclude<Decision, { reason: string }>): Stored {
  const buried = decision.action === 'delete' || decision.action === 'remember';
  return { kind: buried ? 'tombstone' : 'row', version: decision.version };
}

function shortcut(stored: Stored, final: Stored, endedALife: boolean): Change['action'] {
  if (final.kind === 'row') {
    if (stored.kind !== 'row') return 'create';
    return endedALife ? 'replace' : 'update';
  }
  return stored.kind === 'row' ? 'delete' : 'remember';
}
