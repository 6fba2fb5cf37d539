import type { TransportPayload } from '../core/payload.js';
import { stringifyJson, type WireObject, type WireValue } from '../core/wire-values.js';

/** What stands where a value is not shown. */
export const NOT_SHOWN = '(hidden)';

/** What must not be shown of a message. */
export interface Hidden {
  /** Keys whose values are not shown, wherever they stand. */
  readonly wire: readonly string[];
  /**
   * Values that are not shown under any key, for messages that code of the user's own has made: it may have given what
   * is hidden another name. Short ones are no secrets, and would hide half of the message.
   */
  readonly values?: readonly string[];
}

const SHORTEST_SECRET = 3;

/** A message without the values that are hidden, and the keys under which they stood. */
export function withoutHidden(
  payload: TransportPayload,
  hidden: Hidden,
): { payload: TransportPayload; hidden: readonly string[] } {
  const keys = new Set(hidden.wire);
  const secrets = (hidden.values ?? []).filter((text) => text.length >= SHORTEST_SECRET);
  if (keys.size === 0 && secrets.length === 0) return { payload, hidden: [] };
  const found = new Set<string>();
  const mask = (value: WireValue, path: string): WireValue => {
    if (Array.isArray(value)) return value.map((item) => mask(item, path));
    if (typeof value === 'object' && value !== null && !JSON.isRawJSON(value))
      return maskObject(value as WireObject, path);
    if (value === null || !secrets.some((secret) => textOf(value).includes(secret))) return value;
    found.add(path);
    return NOT_SHOWN;
  };
  const maskObject = (object: WireObject, path: string): WireObject =>
    Object.fromEntries(
      Object.entries(object).map(([key, value]): [string, WireValue] => {
        if (!keys.has(key)) return [key, mask(value, key)];
        if (value === null) return [key, null];
        found.add(path === '' ? key : `${path}.${key}`);
        return [key, NOT_SHOWN];
      }),
    );
  const { instanceData, previousData, meta, instancePk, correlationId } = payload;
  const shown = payload.with({
    instanceData: maskObject(instanceData, ''),
    previousData: previousData && maskObject(previousData, ''),
    meta: mask(meta, 'meta'),
    instancePk: mask(instancePk, 'key'),
    correlationId: mask(correlationId, 'correlation'),
  });
  return { payload: shown, hidden: [...found].toSorted() };
}

function textOf(value: Exclude<WireValue, null>): string {
  return JSON.isRawJSON(value) ? value.rawJSON : typeof value === 'string' ? value : stringifyJson(value);
}

/** JSON on one line → the same, indented; nothing else is touched, so that numbers keep all their digits. */
export function indentJson(text: string): string {
  let out = '';
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/gs)) {
    const line = `\n${'  '.repeat(depth)}`;
    if (token === '{' || token === '[') out += `${token}\n${'  '.repeat(++depth)}`;
    else if (token === '}' || token === ']') {
      depth--;
      const empty = /[{[]\s*$/.test(out);
      out = empty ? `${out.trimEnd()}${token}` : `${out}\n${'  '.repeat(depth)}${token}`;
    } else if (token === ',') out += `,${line}`;
    else out += token === ':' ? ': ' : token;
  }
  return out;
}
