import { decide, type Decision, type Incoming, type RuleOptions, type Stored } from './revision-rules.js';

interface Superseded extends Pick<Decision, 'aheadBy' | 'doubt'> {
  readonly action: 'superseded';
}

/** What several messages of one key come to. */
export interface Folded {
  /** One a message, in the same order. */
  readonly decisions: readonly (Decision | Superseded)[];
  /** What is stored once all of them are done. */
  readonly final: Stored;
  /** The one write that gets there, and the message it comes from; undefined when none of them is written. */
  readonly change?: Change;
  /** Nothing is written, but a higher floor is known of the row: `final` has it. */
  readonly learned: boolean;
}

export interface Change {
  readonly action: 'create' | 'update' | 'replace' | 'delete' | 'remember';
  /** Index of the message whose state is written. */
  readonly winner: number;
}

/**
 * Runs the messages of one key, in the order they came, through the rules and keeps only what is left in the end:
 * those that would have been written and then written over are `superseded`.
 */
export function fold(stored: Stored, messages: readonly Incoming[], options: RuleOptions): Folded {
  const decisions: Folded['decisions'][number][] = [];
  let current = stored;
  let winner: number | undefined;
  let ended = false;
  for (const [index, message] of messages.entries()) {
    const decision = decide(current, message, options);
    decisions.push(decision);
    current = after(current, decision);
    if ('reason' in decision) continue;
    if (winner !== undefined) {
      const { aheadBy, doubt } = decisions[winner]!;
      decisions[winner] = { action: 'superseded', aheadBy, doubt };
    }
    winner = index;
    ended ||= decision.action === 'delete' || decision.action === 'replace';
  }
  if (winner === undefined) return { decisions, final: current, learned: current !== stored };
  return { decisions, final: current, change: { action: shortcut(stored, current, ended), winner }, learned: false };
}

/** What is stored after a decision. */
export function after(stored: Stored, decision: Decision): Stored {
  switch (decision.action) {
    case 'dead-letter':
      return stored;
    case 'skip':
      return decision.version && stored.kind !== 'none' ? { kind: stored.kind, version: decision.version } : stored;
    case 'delete':
    case 'remember':
      return { kind: 'tombstone', version: decision.version };
    default:
      return { kind: 'row', version: decision.version };
  }
}

function shortcut(stored: Stored, final: Stored, endedALife: boolean): Change['action'] {
  if (final.kind === 'row') {
    if (stored.kind !== 'row') return 'create';
    return endedALife ? 'replace' : 'update';
  }
  return stored.kind === 'row' ? 'delete' : 'remember';
}
