import type { Version } from '../../../wire/payload.js';
import { formatMicroseconds } from '../../../wire/times.js';

/** A row as COPY reads it in its text format, with its version and, where there is one, the mark of its class. */
export function copyLine(values: readonly (string | null)[], version: Version, mark: string | undefined): string {
  const fields = values.map((value) => (value === null ? NULL : escaped(value)));
  const last = mark === undefined ? '\n' : `\t${escaped(mark)}\n`;
  fields.push(String(version.revision), formatMicroseconds(version.updated), `${version.incarnation ?? NULL}${last}`);
  // One text at once: what is put together by and by stays in memory as a tree.
  return fields.join('\t');
}

const NULL = '\\N';
const SPECIAL = /[\\\t\n\r]/;
const EVERY_SPECIAL = /[\\\t\n\r]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(EVERY_SPECIAL, (character) => ESCAPES[character]!) : text;
}
