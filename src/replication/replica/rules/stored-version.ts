import { INCARNATION_LEAD } from '../../../kernel/incarnations.js';
import type { Version } from '../../../wire/payload.js';
import { formatMicroseconds } from '../../../wire/times.js';
import { INCARNATION, REVISION, UPDATED } from '../definition/replica-columns.js';

/**
 * What `cqrs_incarnation` says in a replica's row or tombstone:
 *
 * - 0 or greater: the incarnation that the master has given it;
 * - less than 0: the master numbers none (django-cqrs). Its amount is the floor: the time, in microseconds since 1970, below
 *   which messages belong to a former incarnation of the key;
 * - null: nor is a floor known.
 *
 * A floor is what this replica has seen; it never travels.
 */

/** Of a row whose time nobody knows: before all others. */
export const UNKNOWN_TIME = -Infinity;

/** SQL: whether a row's master has numbered its incarnation. */
export function numberedSql(column: string): string {
  return `${column} >= 0`;
}

export function isNumbered({ incarnation }: Version): boolean {
  return incarnation !== null && incarnation >= 0;
}

/** The incarnation as others are told of it; null for a floor. */
export function toldIncarnation(incarnation: number | null): number | null {
  return incarnation !== null && incarnation >= 0 ? incarnation : null;
}

/** A version as events tell it. */
export function toldVersion(version: Version): Version {
  return isNumbered(version) || version.incarnation === null ? version : { ...version, incarnation: null };
}

/**
 * The floor of what is stored. Incarnations are times, too, which may be ahead of their clock.
 * @param horizon a floor that lies after it is none.
 */
export function floorOf({ incarnation }: Version, horizon = Infinity): number {
  if (incarnation === null) return UNKNOWN_TIME;
  const floor = incarnation < 0 ? -incarnation : incarnation - INCARNATION_LEAD;
  return floor > horizon ? UNKNOWN_TIME : floor;
}

/** Since when at the earliest the row of a numbered message has been there: one with revision 0 tells the time itself. */
export function earliestBirth({ incarnation, revision, updated }: Version): number {
  const floor = incarnation! - INCARNATION_LEAD;
  return revision === 0 ? Math.max(floor, Math.min(incarnation!, updated)) : floor;
}

/** The version of a message without an incarnation, with a floor. */
export function withFloor({ revision, updated }: Version, floor: number): Version {
  return { incarnation: floor > 0 && floor < Infinity ? -floor : null, revision, updated };
}

/** What the first message of a key leaves: the one that creates a row is the floor of all others. */
export function bornFrom(version: Version): Version {
  return isNumbered(version) ? version : withFloor(version, version.revision === 0 ? version.updated : UNKNOWN_TIME);
}

/** By incarnation, revision, updated. @returns negative, 0 or positive, as for `sort`; both must be numbered. */
export function compareVersions(a: Version, b: Version): number {
  return a.incarnation! - b.incarnation! || a.revision - b.revision || a.updated - b.updated;
}

/** Whether two versions that are stored are the same. */
export function isSameVersion(a: Version, b: Version): boolean {
  return a.incarnation === b.incarnation && a.revision === b.revision && a.updated === b.updated;
}

/** Three columns of texts, in the order revision, time, incarnation. */
export function versionColumns(versions: readonly Version[]): (string | null)[][] {
  return [
    versions.map(({ revision }) => String(revision)),
    versions.map(({ updated }) => (updated === UNKNOWN_TIME ? null : formatMicroseconds(updated))),
    versions.map(({ incarnation }) => (incarnation === null ? null : String(incarnation))),
  ];
}

/** SQL: a version as three texts, its time in microseconds since 1970. @param names as tombstones have them, or rows. */
export function versionTexts(alias: string, names: 'cqrs' | 'plain' = 'cqrs'): string {
  const [revision, updated, incarnation] =
    names === 'cqrs' ? [REVISION, UPDATED, INCARNATION] : ['revision', 'updated', 'incarnation'];
  return `${alias}.${revision}::text as revision,
        (extract(epoch from ${alias}.${updated}) * 1000000)::bigint::text as updated,
        ${alias}.${incarnation}::text as incarnation`;
}
