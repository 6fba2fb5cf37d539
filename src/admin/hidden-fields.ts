import type { Cqrs } from '../cqrs.js';
import type { BrowsableTables } from './tables.js';

/** Keys of a message of that id that must not be shown: hidden where it is written, or where it is copied. */
export async function hiddenOf(tables: BrowsableTables, cqrs: Cqrs, cqrsId: string): Promise<string[]> {
  const master = cqrs.masters.find(cqrsId) && (await tables.master(cqrsId));
  const replica = cqrs.replicas.find(cqrsId);
  const copy = replica && (await tables.replica(cqrsId));
  const mapped = replica?.columns
    .filter(({ field }) => copy!.hidden.fields.includes(field))
    .flatMap(({ wire }) => wire);
  return [...new Set([...(master?.hidden.wire ?? []), ...(copy?.hidden.wire ?? []), ...(mapped ?? [])])];
}
