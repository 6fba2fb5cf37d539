import type { WireObject, WireValue } from '../../wire/values.js';

/**
 * What we note in a message that waits or has died, under `cqrs` in its `meta`. What its sender has there stays beside it,
 * under `sent`, and is back as soon as the notes are taken out:
 *
 *   { "tenant": 7, "cqrs": 1 }  ⇄  { "tenant": 7, "cqrs": { "by": "mikro-orm-cqrs", "reason": …, "failedAt": …, "sent": 1 } }
 *
 * A `meta` that is no object belongs to the sender alone and stays as it came; headers say the same as the notes.
 */

const BY = 'mikro-orm-cqrs';
/** All that releases before 0.2 noted, which did not sign. */
const UNSIGNED: ReadonlySet<string> = new Set(['reason', 'error', 'failedAt', 'waitingSince']);

/** Our notes in a `meta`; undefined when it has none. */
export function notesIn(meta: WireValue): WireObject | undefined {
  const notes = isObject(meta) ? meta['cqrs'] : undefined;
  return isObject(notes) && isOurs(notes) ? notes : undefined;
}

/** The `meta` with these notes and no others. */
export function withNotes(meta: WireValue, notes: WireObject): WireValue {
  const own = withoutNotes(meta);
  if (!isObject(own)) return own;
  const sent: WireObject = Object.hasOwn(own, 'cqrs') ? { sent: own['cqrs']! } : {};
  return { ...own, cqrs: { by: BY, ...notes, ...sent } };
}

/** The `meta` as its sender has sent it. */
export function withoutNotes(meta: WireValue): WireValue {
  const notes = notesIn(meta);
  if (!notes) return meta;
  const { cqrs: _, ...others } = meta as WireObject;
  return Object.hasOwn(notes, 'sent') ? { ...(meta as WireObject), cqrs: notes['sent']! } : others;
}

function isOurs(notes: WireObject): boolean {
  if (notes['by'] === BY) return true;
  const isNoted = typeof notes['failedAt'] === 'string' || typeof notes['waitingSince'] === 'number';
  return isNoted && Object.keys(notes).every((name) => UNSIGNED.has(name));
}

function isObject(value: WireValue | undefined): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}
