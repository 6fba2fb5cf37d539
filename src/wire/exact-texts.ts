import { readArray } from './array-text.js';
import { parseJson, stringifyJson, textToJson, type WireKind, type WireValue } from './values.js';

/**
 * Values of which JSON says less than PostgreSQL's text does: a JSON `null`, which is not SQL NULL; an array whose
 * subscripts do not begin at 1; a JSON document with `1.10`, which every reader of JSON takes for 1.1. Beside its
 * instance data a message has the texts of such columns, in a member of its own that other readers pass over.
 */

/** By the name of the field, then by the kind of its column: for a column of another kind the instance data are right. */
export type ExactTexts = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Whether a column of this kind can hold a value that does not travel whole in JSON. */
export function mayLose(kind: WireKind): boolean {
  return kind === 'json' || kind.endsWith('[]');
}

/** Whether the JSON form of a value says less than its text. @param type that of its column, as declared. */
export function losesInJson(kind: WireKind, type: string, text: string): boolean {
  if (kind === 'json') return text.trim() === 'null' || (isBinary(type) ? FRACTION.test(text) : isRespelled(text));
  if (text.startsWith('[')) return true;
  return kind === 'json[]' && (!isBinary(type) || text.startsWith('{{') || NULLS.test(text) || FRACTION.test(text));
}

/** A fraction that ends with a zero. `jsonb` prints numbers without an exponent, and all else in one way. */
const FRACTION = /\d\.\d*0(?!\d)/;
/** PostgreSQL quotes what would otherwise be a NULL. */
const NULLS = /"null"/i;

function isBinary(type: string): boolean {
  return /^jsonb/i.test(type);
}

/** `json` keeps what was written: blanks, repeated keys, the spelling of numbers. */
function isRespelled(text: string): boolean {
  try {
    return stringifyJson(parseJson(text)) !== text;
  } catch {
    return true;
  }
}

/** The text that a message gives for a field; undefined when its instance data say it all. */
export function givenText(texts: ExactTexts | null, field: string, kind: WireKind): string | undefined {
  if (texts === null || !Object.hasOwn(texts, field)) return undefined;
  const text: unknown = Object.hasOwn(texts[field]!, kind) ? texts[field]![kind] : undefined;
  return typeof text === 'string' ? text : undefined;
}

/**
 * A value as it is compared: as it travels, but a JSON `null` and an array that begins elsewhere are not the SQL NULL and
 * the array that they would look like. `1.10` and `1.1` of a JSON document are one number, as they are to PostgreSQL.
 */
export function comparedValue(kind: WireKind, text: string | null): WireValue {
  if (text === null) return null;
  if (kind === 'json') return text.trim() === 'null' ? JSON_NULL : parseJson(text);
  if (!kind.endsWith('[]')) return parseJson(textToJson(kind, text));
  const element = kind.slice(0, -2) as WireKind;
  const items = readArray(text, (item) => comparedValue(element, item)) as WireValue[];
  return text.startsWith('[') ? { '::bounds': text.slice(0, text.indexOf('=')), items } : items;
}

const JSON_NULL: WireValue = { '::json': 'null' };
