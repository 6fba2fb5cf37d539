import type { Cqrs } from '../cqrs.js';
import { isKeyHidden } from './columns.js';
import type { BrowsableTables } from './tables.js';

/** Whether the rows of that id must not be named: their key is hidden where they are written, or where they are copied. */
export function hidesKey({ masters, replicas }: Pick<Cqrs, 'masters' | 'replicas'>, cqrsId: string | null): boolean {
  const definitions = cqrsId === null ? [] : [masters.find(cqrsId), replicas.find(cqrsId)];
  return definitions.some((definition) => definition !== undefined && isKeyHidden(definition.meta));
}

/** Keys of a message of that id that must not be shown: hidden where it is written, or where it is copied. */
export async function hiddenOf(tables: BrowsableTables, cqrs: Cqrs, cqrsId: string): Promise<string[]> {
  const master = cqrs.masters.find(cqrsId) && (await tables.master(cqrsId));
  const replica = cqrs.replicas.find(cqrsId);
  const copy = replica && (await tables.replica(cqrsId));
  const mapped = replica?.columns
    .filter(({ field }) => copy!.hidden.fields.includes(field))
    .flatMap(({ wire }) => wire);
  // The message of a deletion names the key so, whatever its column is called.
  const key = hidesKey(cqrs, cqrsId) ? ['id'] : [];
  return [...new Set([...key, ...(master?.hidden.wire ?? []), ...(copy?.hidden.wire ?? []), ...(mapped ?? [])])];
}
