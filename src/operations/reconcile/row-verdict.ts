import type { Version } from '../../wire/payload.js';

/** What one end has of a row. */
export interface EndRow {
  readonly version: Version;
  /** Of its content; null when content is not compared. */
  readonly checksum: string | null;
}

/** How a replica's row may differ from its master's. */
export type Difference =
  /** The replica does not have it. */
  | 'missing'
  /** The replica has it, and the master has not, or keeps it back. */
  | 'extra'
  /** The replica has an older state. */
  | 'stale'
  /** The same revision has other content. */
  | 'damaged'
  /** The replica has a later state than its master, or has seen its deletion: the master was restored, or written past this library. */
  | 'ahead';

/** `unsettled`: it was changed a moment ago, and its message may be on its way. */
export type Verdict = Difference | 'equal' | 'unsettled';

/** One row as two ends have it. @param settledAt rows changed later are not judged, in microseconds since 1970. */
export function judge(master: EndRow | undefined, replica: EndRow | undefined, settledAt: number): Verdict {
  if (!master && !replica) return 'equal';
  const unless = (row: EndRow, difference: Difference): Verdict =>
    row.version.updated > settledAt ? 'unsettled' : difference;
  if (!replica) return unless(master!, 'missing');
  if (!master) return unless(replica, 'extra');
  const order = orderOf(master.version, replica.version);
  if (order > 0) return unless(master, 'stale');
  if (order < 0) return unless(replica, 'ahead');
  const compared = master.checksum !== null && replica.checksum !== null;
  return compared && master.checksum !== replica.checksum ? 'damaged' : 'equal';
}

/**
 * Whether what was seen at the first look is still so at the second, after messages have had their time: the replica has
 * not come to what the master had then. What has moved is on its way.
 */
export function confirm(
  first: { readonly master: EndRow | undefined; readonly replica: EndRow | undefined },
  second: { readonly verdict: Verdict; readonly replica: EndRow | undefined },
): Verdict {
  const { verdict, replica } = second;
  if (verdict === 'stale' && first.master && orderOf(replica!.version, first.master.version) >= 0) return 'unsettled';
  const hasMoved = first.replica && replica && orderOf(first.replica.version, replica.version) !== 0;
  if ((verdict === 'extra' || verdict === 'ahead') && (!first.replica || hasMoved)) return 'unsettled';
  return verdict;
}

/** Whether a replica that remembers a deletion takes no state of the row that the master has. */
export function isBuried(master: Version, deletion: Version): boolean {
  if (master.incarnation === null) return false;
  if (deletion.incarnation === null) return master.incarnation <= deletion.updated;
  return (orderOf(master, deletion) || master.updated - deletion.updated) <= 0;
}

/** Whether the key was deleted and created again between the two. */
export function isOtherIncarnation(a: Version, b: Version): boolean {
  return a.incarnation !== null && b.incarnation !== null && a.incarnation !== b.incarnation;
}

/** By incarnation and revision; the time is no difference, since a SYNC could not repair it. An unknown incarnation is any. */
function orderOf(a: Version, b: Version): number {
  const steps = a.incarnation === null || b.incarnation === null ? 0 : a.incarnation - b.incarnation;
  return steps || a.revision - b.revision;
}
