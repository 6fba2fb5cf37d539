import type { SignalType, Version } from '../../../wire/payload.js';
import {
  bornFrom,
  compareVersions,
  earliestBirth,
  floorOf,
  isNumbered,
  isSameVersion,
  UNKNOWN_TIME,
  withFloor,
} from './stored-version.js';

/**
 * What a message means for a key, given what is stored of it: the rules of order, duplicates and deletions. Pure. Rows are
 * written only while what is stored is still what the rules have looked at, so nothing says them a second time.
 *
 * Where both sides are numbered, each key is a maximum register over (incarnation, revision, updated): any permutation and
 * any repetition of its messages ends in the same state. A deletion leaves a tombstone, which is a state like any other.
 *
 * | message | stored             | action                                                               |
 * |---------|--------------------|----------------------------------------------------------------------|
 * | SAVE, SYNC | nothing         | create; dead letter when older than tombstones are kept              |
 * | DELETE  | nothing            | tombstone                                                            |
 * | SAVE    | row, tombstone     | greater: write; else skip                                            |
 * | SYNC    | row                | greater or equal: write; else skip                                   |
 * | SYNC    | tombstone          | greater: write; else skip                                            |
 * | DELETE  | row, tombstone     | greater: delete and tombstone; else skip                             |
 *
 * Messages of django-cqrs have no incarnation, and their time is that of the call of `save`: a statement that waited for a
 * lock has a higher revision and an earlier time. `u`, `r` incoming; `su`, `s` stored; ε the tolerance for clocks; W the
 * longest wait for a lock; F the floor, the time below which messages belong to a former incarnation (`stored-version.ts`).
 *
 * | stored    | message           | action                                                                   |
 * |-----------|-------------------|--------------------------------------------------------------------------|
 * | nothing   | SAVE, SYNC        | create, F = u if r = 0, else none                                        |
 * | row       | DELETE            | u < su − ε: skip, F = max(F, u); else delete: a tombstone with the maxima |
 * | row       | r = 0             | u > su and not u = F (F unknown: u > su + ε): new incarnation, F = u;    |
 * |           |                   | s = 0 and u = su: SYNC writes; else skip, and if s > 0, F = max(F, u)    |
 * | row       | r > 0, u < F − ε  | skip: former incarnation                                                 |
 * | row       | r > s             | u ≥ su − W: write; else skip, and say so                                 |
 * | row       | r = 0 = s, u = su + 1 µs | the same birth, stored without a reference: write, F = u          |
 * | row       | r = s             | SYNC writes and stores max(u, su); SAVE writes if u > su; else skip;     |
 * |           |                   | two times are a tie: say so (not where u = su + 1 µs, as above)          |
 * | row       | r < s             | u > su + W: new incarnation or restored master, F = max(F, su);          |
 * |           |                   | else skip                                                                |
 * | tombstone | DELETE            | u < su − ε: skip; else take the maxima                                   |
 * | tombstone | r = 0             | u > su: create, F = u; F < u and su − W < u ≤ su: dead letter; else skip |
 * | tombstone | r > 0             | u > su + ε: create, F = su; within ε: dead letter; else skip             |
 * | row, tombstone | SYNC, `syncDowngrade: 'always'` | writes, creates                                       |
 * | any       | u or su after now + ε | only one of them: the revision alone decides; both: as above         |
 * | numbered  | unnumbered        | as above with F = I − lead of its incarnation I; a row keeps F, not I,   |
 * |           |                   | since the message may be of a later one                                  |
 *
 * Incarnations are times that may be ahead of their clock by the lead (`kernel/incarnations.ts`). B, the earliest birth of a
 * numbered row: I − lead, and not before min(I, u) if r = 0. C, when a numbered message was committed, if that is known.
 *
 * | stored, unnumbered | numbered message, incarnation I                                                      |
 * |--------------------|--------------------------------------------------------------------------------------|
 * | row                | B > su + ε: new incarnation; I < F − ε or C < su − ε: skip, former incarnation, and  |
 * |                    | a DELETE: F = max(F, u); else r ≥ s writes, and stores I                             |
 * | tombstone          | B > su, or I > su and u > su + ε: create, DELETE: tombstone; else DELETE:            |
 * |                    | u < su − ε: skip, else the maxima; max(B, min(I, u)) > su − ε: dead letter; else skip |
 *
 * A numbered message of a lower incarnation that was committed after what is stored comes from a master whose numbers have
 * gone back: it is skipped as any other, and said.
 *
 * What this decides wrong: a row that is created again within W of its deletion and whose messages are reordered; and a tie.
 */

/** What a replica knows of a key. */
export type Stored =
  | { readonly kind: 'none' }
  /** `version.incarnation` is as `stored-version.ts` describes it. */
  | { readonly kind: 'row' | 'tombstone'; readonly version: Version };

/** What the rules look at in a message. */
export interface Incoming {
  readonly signalType: SignalType;
  readonly version: Version;
  /** When it was committed by its master's clock, in microseconds since 1970; undefined: not known. */
  readonly committed?: number | undefined;
  /** Older than tombstones are kept: nobody knows any more whether its row was deleted since. Default false. */
  readonly tooOld?: boolean;
}

export interface RuleOptions {
  /** The replica's clock, in microseconds since 1970. */
  readonly now: number;
  /** ε: how far the clocks of masters without incarnations may differ, in microseconds. */
  readonly tolerance: number;
  /** W: how long a statement of such a master may wait for a lock, in microseconds. */
  readonly lockWait: number;
  readonly syncDowngrade: 'never' | 'always';
}

/** What nobody can decide for certain, of messages without an incarnation. */
export type Doubt =
  /** Two states with one revision. */
  | 'tie'
  /** A higher revision, so much older than the row that it was taken for one of a former incarnation. */
  | 'beyond-lock-wait'
  /** Of a lower incarnation than what is stored, and committed after it. */
  | 'incarnation-behind';

export type SkipReason = 'stale' | 'duplicate' | 'former-incarnation' | 'beyond-lock-wait' | 'incarnation-behind';

/**
 * `replace`: a new incarnation of the key over an old row. `version` is what is stored afterwards; of a message that is
 * skipped it is a higher floor, if one was learned. `aheadBy`: the clock of a sender was not trusted; so many microseconds
 * ahead of ours.
 */
export type Decision = { readonly aheadBy?: number; readonly doubt?: Doubt } & (
  | { readonly action: 'create' | 'update' | 'replace' | 'delete' | 'remember'; readonly version: Version }
  | { readonly action: 'skip'; readonly reason: SkipReason; readonly version?: Version }
  | { readonly action: 'dead-letter'; readonly reason: 'too-old-to-create' | 'ambiguous-incarnation' }
);

/**
 * A row that is stored without a reference is so many microseconds older than the message that it comes from, which is no
 * tie with it (`cyclic-batch.ts`). Two states of one revision that really are so far apart are not told as one.
 */
const WITHOUT_REFERENCE = 1;

type Known = Exclude<Stored, { kind: 'none' }>;
type Skip = Extract<Decision, { action: 'skip' }>;

export function decide(stored: Stored, incoming: Incoming, options: RuleOptions): Decision {
  const { signalType, version } = incoming;
  if (stored.kind === 'none') {
    if (signalType === 'DELETE') return { action: 'remember', version };
    if (incoming.tooOld) return { action: 'dead-letter', reason: 'too-old-to-create' };
    return { action: 'create', version: bornFrom(version) };
  }
  const numbered = isNumbered(version);
  if (numbered && isNumbered(stored.version)) return decideNumbered(stored, incoming, options);
  const horizon = options.now + options.tolerance;
  const latest = Math.max(version.updated, stored.version.updated);
  if (latest > horizon && Math.min(version.updated, stored.version.updated) <= horizon) {
    return { ...decideByRevision(stored, incoming, options), aheadBy: latest - options.now };
  }
  return numbered ? decideNumbering(stored, incoming, options) : decideUnnumbered(stored, incoming, options);
}

function decideNumbered(
  stored: Known,
  { signalType, version, committed }: Incoming,
  { tolerance }: RuleOptions,
): Decision {
  const order = compareVersions(version, stored.version);
  if (order > 0) {
    if (signalType === 'DELETE') return bury(stored, version);
    return write(stored, version, version.incarnation !== stored.version.incarnation);
  }
  if (order === 0 && signalType === 'SYNC' && stored.kind === 'row') return { action: 'update', version };
  const isFormer =
    version.incarnation! < stored.version.incarnation! && (stored.kind === 'row' || signalType !== 'DELETE');
  if (isFormer && committed !== undefined && committed > stored.version.updated + tolerance) {
    return { action: 'skip', reason: 'incarnation-behind', doubt: 'incarnation-behind' };
  }
  return skip(stored, version);
}

/** The first numbered message over what an unnumbered one has left. */
function decideNumbering(stored: Known, incoming: Incoming, { now, tolerance }: RuleOptions): Decision {
  const { signalType, version, committed } = incoming;
  const incarnation = version.incarnation!;
  const born = earliestBirth(version);
  const since = stored.version.updated;
  const deletes = signalType === 'DELETE';
  if (stored.kind === 'tombstone') {
    const isLater = born > since || (incarnation > since && version.updated > since + tolerance);
    if (isLater) return deletes ? bury(stored, version) : write(stored, version, false);
    if (deletes) return version.updated < since - tolerance ? skip(stored, version) : raise(stored, version);
    const latestBirth = Math.max(born, Math.min(incarnation, version.updated));
    if (latestBirth > since - tolerance) return { action: 'dead-letter', reason: 'ambiguous-incarnation' };
    return skip(stored, version);
  }
  const startsAnew = born > since + tolerance;
  if (!startsAnew) {
    const floor = floorOf(stored.version, now + tolerance);
    // Who writes a row holds its lock, so what was committed before what is stored is no later state of it.
    const isFormer = incarnation < floor - tolerance || (committed !== undefined && committed < since - tolerance);
    if (isFormer) return deletes ? learn(former(), stored, version.updated, floor) : former();
    if (version.revision < stored.version.revision) return skip(stored, version);
  }
  return deletes ? bury(stored, version) : write(stored, version, startsAnew);
}

function decideUnnumbered(stored: Known, incoming: Incoming, options: RuleOptions): Decision {
  const { version } = incoming;
  const { tolerance } = options;
  const later = version.updated - stored.version.updated;
  const floor = floorOf(stored.version, options.now + tolerance);
  if (incoming.signalType === 'DELETE') {
    if (later >= -tolerance) return raise(stored, version);
    const skipped = skip(stored, version);
    return stored.kind === 'row' ? learn(skipped, stored, version.updated, floor) : skipped;
  }
  const always = incoming.signalType === 'SYNC' && options.syncDowngrade === 'always';
  if (stored.kind === 'tombstone') {
    const born = version.revision === 0;
    if (later > (born ? 0 : tolerance)) {
      return { action: 'create', version: withFloor(version, born ? version.updated : stored.version.updated) };
    }
    if (always) return { action: 'create', version: withFloor(version, floor) };
    const unseen = floor > UNKNOWN_TIME && floor < version.updated && later > -options.lockWait;
    const ambiguous = born ? unseen : later > 0;
    return ambiguous ? { action: 'dead-letter', reason: 'ambiguous-incarnation' } : skip(stored, version);
  }
  if (version.revision === 0) return decideBirth(stored, incoming, { floor, always, tolerance });
  return decideChange(stored, incoming, { floor, always, options });
}

/** Only an INSERT has revision 0. */
function decideBirth(
  stored: Known,
  { signalType, version }: Incoming,
  { floor, always, tolerance }: { floor: number; always: boolean; tolerance: number },
): Decision {
  const later = version.updated - stored.version.updated;
  if (later === WITHOUT_REFERENCE && stored.version.revision === 0) return over(stored, version, version.updated);
  // Its own birth, which comes again or late, may be later than a change by a host whose clock is behind.
  const anew = floor > UNKNOWN_TIME ? later > 0 && version.updated !== floor : later > tolerance;
  if (anew) return { action: 'replace', version: bornFrom(version) };
  if (stored.version.revision > 0)
    return always ? over(stored, version, floor) : learn(skip(stored, version), stored, version.updated, floor);
  return always || (later === 0 && signalType === 'SYNC') ? over(stored, version, floor) : skip(stored, version);
}

function decideChange(
  stored: Known,
  { signalType, version }: Incoming,
  { floor, always, options }: { floor: number; always: boolean; options: RuleOptions },
): Decision {
  const steps = version.revision - stored.version.revision;
  const later = version.updated - stored.version.updated;
  if (always) return over(stored, version, floor);
  if (version.updated < floor - options.tolerance) return former();
  if (steps > 0) {
    if (later >= -options.lockWait) return over(stored, version, floor);
    return { action: 'skip', reason: 'beyond-lock-wait', doubt: 'beyond-lock-wait' };
  }
  if (steps < 0) {
    return later > options.lockWait
      ? over(stored, version, Math.max(floor, stored.version.updated))
      : skip(stored, version);
  }
  if (signalType === 'SYNC') {
    return over(stored, { ...version, updated: Math.max(version.updated, stored.version.updated) }, floor);
  }
  if (later === 0) return skip(stored, version);
  if (later === WITHOUT_REFERENCE) return over(stored, version, floor);
  return { ...(later > 0 ? over(stored, version, floor) : skip(stored, version)), doubt: 'tie' };
}

function decideByRevision(stored: Known, { signalType, version }: Incoming, options: RuleOptions): Decision {
  const steps = version.revision - stored.version.revision;
  const row = stored.kind === 'row';
  const floor = floorOf(stored.version, options.now + options.tolerance);
  if (signalType === 'DELETE') {
    // The time that is trusted, or the next births would be held against one that is not.
    const earlier = Math.min(version.updated, stored.version.updated);
    const updated = earlier > UNKNOWN_TIME ? earlier : version.updated;
    return steps > 0 || (steps === 0 && row) ? raise(stored, version, updated) : skip(stored, version);
  }
  const repairs = row && signalType === 'SYNC' && (steps === 0 || options.syncDowngrade === 'always');
  return steps > 0 || repairs ? over(stored, version, floor) : skip(stored, version);
}

function write(stored: Known, version: Version, newIncarnation: boolean): Decision {
  if (stored.kind === 'tombstone') return { action: 'create', version };
  return { action: newIncarnation ? 'replace' : 'update', version };
}

/** A state of the incarnation that is stored, or of one that cannot be told from it. */
function over(stored: Known, version: Version, floor: number): Decision {
  if (isNumbered(version)) return write(stored, version, false);
  return write(stored, withFloor(version, floor), false);
}

function bury(stored: Known, version: Version): Decision {
  return { action: stored.kind === 'row' ? 'delete' : 'remember', version };
}

// Which incarnation ended is not known for sure, so the tombstone stands for none in particular.
function raise(stored: Known, version: Version, updated?: number): Decision {
  const raised = withFloor(
    {
      incarnation: null,
      revision: Math.max(version.revision, stored.version.revision),
      updated: updated ?? Math.max(version.updated, stored.version.updated),
    },
    floorOf(stored.version),
  );
  const nothingNew =
    stored.kind === 'tombstone' &&
    raised.revision === stored.version.revision &&
    raised.updated === stored.version.updated;
  return nothingNew ? skip(stored, version) : bury(stored, raised);
}

/** A message that is skipped tells since when the row's incarnation has been there at the least. */
function learn(skipped: Skip, stored: Known, learned: number, floor: number): Decision {
  if (isNumbered(stored.version) || learned <= floor) return skipped;
  return { ...skipped, version: withFloor(stored.version, learned) };
}

function former(): Skip {
  return { action: 'skip', reason: 'former-incarnation' };
}

function skip(stored: Known, version: Version): Skip {
  const same = version.revision === stored.version.revision && version.updated === stored.version.updated;
  const sameIncarnation =
    !isNumbered(version) || !isNumbered(stored.version) || version.incarnation === stored.version.incarnation;
  return { action: 'skip', reason: same && sameIncarnation ? 'duplicate' : 'stale' };
}

/** Whether nothing has changed between two looks. */
export function isSameState(a: Stored, b: Stored | undefined): boolean {
  if (a.kind === 'none' || b === undefined || b.kind === 'none') return a.kind === b?.kind;
  return a.kind === b.kind && isSameVersion(a.version, b.version);
}
