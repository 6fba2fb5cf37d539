import { formatMicroseconds } from '../core/wire-times.js';
import type { RowTexts } from './replica-table.js';

/** Rows as COPY reads them in its text format, each with its version and, where there is one, the mark of its class. */
export function copyText(rows: readonly RowTexts[], mark: string | undefined): string {
  const last = mark === undefined ? '\n' : `\t${escaped(mark)}\n`;
  let text = '';
  for (const { values, version } of rows) {
    for (const value of values) text += value === null ? '\\N\t' : `${escaped(value)}\t`;
    text += `${version.revision}\t${formatMicroseconds(version.updated)}\t${version.incarnation ?? '\\N'}${last}`;
  }
  return text;
}

const SPECIAL = /[\\\t\n\r]/;
const EVERY_SPECIAL = /[\\\t\n\r]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(EVERY_SPECIAL, (character) => ESCAPES[character]!) : text;
}
