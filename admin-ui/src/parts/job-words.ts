import type { Job, JobKind, JobState } from '../../../src/admin/contract.ts';

export const KIND_WORDS: Readonly<Record<JobKind, string>> = {
  sync: 'Synchronization',
  reconcile: 'Comparison',
  repair: 'Repair',
  'dead-letters-dry-run': 'Dry run of dead letters',
  'dead-letters-retry': 'Retry of dead letters',
  'dead-letters-purge': 'Purge of dead letters',
};

export const STATE_TONES: Readonly<Record<JobState, '' | 'accent' | 'good' | 'warn' | 'bad'>> = {
  waiting: '',
  running: 'accent',
  done: 'good',
  failed: 'bad',
  cancelled: 'warn',
  interrupted: 'warn',
};

/** Counts that mean that something did not go as it should. */
const UNWANTED = new Set([
  'damaged',
  'stale',
  'extra',
  'unroutable',
  'failed',
  'missing',
  'refused',
  'deadLettered',
  'would fail',
  'wouldFail',
]);

/** camelCase → words. */
export const countName = (name: string): string => name.replaceAll(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);

export const isUnwanted = (name: string, count: number): boolean => count > 0 && UNWANTED.has(name);

/** Done, but not all of it went well. */
export const hasTroubles = ({ counts }: Pick<Job, 'counts'>): boolean =>
  Object.entries(counts).some(([name, count]) => isUnwanted(name, count));
