import type { Handler } from './handler.js';
import type { Message } from './message.js';

/** The batch, or what the handler takes of it at once. */
export function inParts(handler: Handler, batch: readonly Message[]): readonly (readonly Message[])[] {
  const ids = new Set(batch.map(({ payload }) => payload.cqrsId));
  const most = Math.min(...[...ids].map((id) => handler.atOnce?.(id) ?? Infinity));
  if (batch.length <= most) return [batch];
  return Array.from({ length: Math.ceil(batch.length / most) }, (_, at) => batch.slice(at * most, (at + 1) * most));
}
