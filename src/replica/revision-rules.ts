import type { SignalType, Version } from '../core/payload.js';

/**
 * What a message means for a key, given what is stored of it: the rules of order, duplicates and deletions. Pure; the
 * SQL of `replica-table.ts` says the same again as a guard, and tests hold the two against each other.
 *
 * Each key is a maximum register over (incarnation, revision, updated): any permutation and any repetition of its
 * messages ends in the same state. A deletion leaves a tombstone, which is a state like any other.
 *
 * `u`, `r` incoming; `su`, `s` stored; ε the tolerance for clocks. "Known" means that both sides carry an incarnation.
 *
 * | incarnation | signal     | stored          | action                                                                |
 * |-------------|------------|-----------------|-----------------------------------------------------------------------|
 * | any         | SAVE, SYNC | nothing         | create; dead letter when older than tombstones are kept               |
 * | any         | DELETE     | nothing         | tombstone                                                             |
 * | known       | SAVE       | row, tombstone  | greater: write; else skip                                             |
 * | known       | SYNC       | row             | greater or equal: write; else skip                                    |
 * | known       | SYNC       | tombstone       | greater: write; else skip                                             |
 * | known       | DELETE     | row, tombstone  | greater: delete and tombstone; else skip                              |
 * | unknown     | SAVE       | row             | r > s and u ≥ su − ε, or r = s and u > su, or r < s and u > su + ε    |
 * | unknown     | SYNC       | row             | as SAVE, and r = s and u = su; always under `syncDowngrade: 'always'` |
 * | unknown     | SAVE, SYNC | tombstone       | u > su + ε, or u > su and r = 0: create;                              |
 * |             |            |                 | 0 < u − su ≤ ε: dead letter; else skip                                |
 * | unknown     | DELETE     | row, tombstone  | u < su − ε: skip; else delete, and raise both to the maximum          |
 * | unknown     | any        | any; u or su    | the time is not trusted, the revision alone decides                   |
 * |             |            | is after now + ε|                                                                       |
 */

/** What a replica knows of a key. */
export type Stored =
  | { readonly kind: 'none' }
  | { readonly kind: 'row'; readonly version: Version }
  | { readonly kind: 'tombstone'; readonly version: Version };

/** What the rules look at in a message. */
export interface Incoming {
  readonly signalType: SignalType;
  readonly version: Version;
  /** Older than tombstones are kept: nobody knows any more whether its row was deleted since. Default false. */
  readonly tooOld?: boolean;
}

export interface RuleOptions {
  /** The replica's clock, in microseconds since 1970. */
  readonly now: number;
  /** ε: how far the clocks of masters without incarnations may differ, in microseconds. */
  readonly tolerance: number;
  readonly syncDowngrade: 'never' | 'always';
}

/**
 * `replace`: a new life of the key over an old row, which is deleted first. `version` is what is stored afterwards.
 * `aheadBy`: the clock of a sender was not trusted; so many microseconds ahead of ours.
 */
export type Decision = { readonly aheadBy?: number } & (
  | { readonly action: 'create' | 'update' | 'replace' | 'delete' | 'remember'; readonly version: Version }
  | { readonly action: 'skip'; readonly reason: 'stale' | 'duplicate' }
  | { readonly action: 'dead-letter'; readonly reason: 'too-old-to-create' | 'ambiguous-incarnation' }
);

export function decide(stored: Stored, incoming: Incoming, options: RuleOptions): Decision {
  const { version } = incoming;
  if (stored.kind === 'none') {
    if (incoming.signalType === 'DELETE') return { action: 'remember', version };
    return incoming.tooOld ? { action: 'dead-letter', reason: 'too-old-to-create' } : { action: 'create', version };
  }
  if (version.incarnation !== null && stored.version.incarnation !== null) return decideKnown(stored, incoming);
  const latest = Math.max(version.updated, stored.version.updated);
  if (latest > options.now + options.tolerance) {
    return { ...decideByRevision(stored, incoming, options), aheadBy: latest - options.now };
  }
  return decideUnknown(stored, incoming, options);
}

type Known = Exclude<Stored, { kind: 'none' }>;

function decideKnown(stored: Known, { signalType, version }: Incoming): Decision {
  const order = compareVersions(version, stored.version);
  if (order > 0) {
    if (signalType === 'DELETE') return bury(stored, version);
    return write(stored, version, version.incarnation !== stored.version.incarnation);
  }
  if (order === 0 && signalType === 'SYNC' && stored.kind === 'row') return { action: 'update', version };
  return skip(stored, version);
}

function decideUnknown(stored: Known, { signalType, version }: Incoming, options: RuleOptions): Decision {
  const { tolerance } = options;
  const steps = version.revision - stored.version.revision;
  const later = version.updated - stored.version.updated;
  if (signalType === 'DELETE') {
    if (later < -tolerance) return { action: 'skip', reason: 'stale' };
    return raise(stored, version);
  }
  if (stored.kind === 'tombstone') {
    if (later > tolerance || (later > 0 && version.revision === 0)) return { action: 'create', version };
    if (later > 0) return { action: 'dead-letter', reason: 'ambiguous-incarnation' };
    return skip(stored, version);
  }
  const sync = signalType === 'SYNC';
  const applies =
    (steps > 0 && later >= -tolerance) ||
    (steps === 0 && (sync ? later >= 0 : later > 0)) ||
    (steps < 0 && later > tolerance) ||
    (sync && options.syncDowngrade === 'always');
  // Nothing but an INSERT has revision 0, so an older row of a higher revision belongs to a former life.
  return applies ? write(stored, version, startsAnew(stored.version, version, tolerance)) : skip(stored, version);
}

function decideByRevision(stored: Known, { signalType, version }: Incoming, { syncDowngrade }: RuleOptions): Decision {
  const steps = version.revision - stored.version.revision;
  const row = stored.kind === 'row';
  if (signalType === 'DELETE')
    return steps > 0 || (steps === 0 && row) ? raise(stored, version) : skip(stored, version);
  const repairs = row && signalType === 'SYNC' && (steps === 0 || syncDowngrade === 'always');
  if (steps > 0 || repairs) return write(stored, version, false);
  return skip(stored, version);
}

function startsAnew(stored: Version, version: Version, tolerance: number): boolean {
  return version.revision === 0 && stored.revision > 0 && version.updated > stored.updated + tolerance;
}

/** By incarnation, revision, updated. @returns negative, 0 or positive, as for `sort`; both incarnations must be known. */
export function compareVersions(a: Version, b: Version): number {
  return a.incarnation! - b.incarnation! || a.revision - b.revision || a.updated - b.updated;
}

function write(stored: Known, version: Version, newLife: boolean): Decision {
  if (stored.kind === 'tombstone') return { action: 'create', version };
  return { action: newLife ? 'replace' : 'update', version };
}

function bury(stored: Known, version: Version): Decision {
  return { action: stored.kind === 'row' ? 'delete' : 'remember', version };
}

// Which life ended is not known for sure, so the tombstone stands for none in particular.
function raise(stored: Known, version: Version): Decision {
  const raised: Version = {
    incarnation: null,
    revision: Math.max(version.revision, stored.version.revision),
    updated: Math.max(version.updated, stored.version.updated),
  };
  const nothingNew =
    stored.kind === 'tombstone' &&
    raised.revision === stored.version.revision &&
    raised.updated === stored.version.updated;
  return nothingNew ? skip(stored, version) : bury(stored, raised);
}

function skip(stored: Known, version: Version): Decision {
  const same = version.revision === stored.version.revision && version.updated === stored.version.updated;
  const sameLife =
    version.incarnation === null ||
    stored.version.incarnation === null ||
    version.incarnation === stored.version.incarnation;
  return { action: 'skip', reason: same && sameLife ? 'duplicate' : 'stale' };
}
