import { stringifyJson, type WireValue } from './values.js';

/** `instance_pk` as people read it: the value, or JSON where it has several parts; null where there is none. */
export function keyText(pk: WireValue): string | null {
  if (pk === null) return null;
  return typeof pk === 'object' ? stringifyJson(pk) : String(pk);
}

/** The same of a key as the outbox has it: a JSON array of texts always. */
export function keyTextOfJson(key: string): string {
  const parts = JSON.parse(key) as unknown[];
  return parts.length === 1 ? String(parts[0]) : key;
}
