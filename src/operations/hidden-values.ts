import type { TransportPayload } from '../wire/payload.js';
import { stringifyJson, type WireObject, type WireValue } from '../wire/values.js';

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
  const mask = new Mask(keys, secrets);
  const { instanceData, previousData, meta, instancePk, correlationId } = payload;
  const shown = payload.with({
    instanceData: mask.object(instanceData, ''),
    previousData: previousData && mask.object(previousData, ''),
    meta: mask.value(meta, 'meta'),
    instancePk: mask.value(instancePk, 'key'),
    correlationId: mask.value(correlationId, 'correlation'),
    texts: null,
  });
  return { payload: shown, hidden: [...mask.found].toSorted() };
}

/** Replaces hidden values, and notes where they stood. */
export class Mask {
  readonly found = new Set<string>();

  constructor(
    private readonly keys: ReadonlySet<string>,
    private readonly secrets: readonly string[],
  ) {}

  value(value: WireValue, path: string): WireValue {
    if (Array.isArray(value)) return value.map((item) => this.value(item, path));
    if (isObject(value)) return this.object(value, path);
    if (value === null || !this.secrets.some((secret) => textOf(value).includes(secret))) return value;
    this.found.add(path);
    return NOT_SHOWN;
  }

  object(object: WireObject, path: string): WireObject {
    return Object.fromEntries(
      Object.entries(object).map(([key, value]): [string, WireValue] => {
        if (!this.keys.has(key)) return [key, this.value(value, key)];
        if (value === null) return [key, null];
        this.found.add(path === '' ? key : `${path}.${key}`);
        return [key, NOT_SHOWN];
      }),
    );
  }
}

/** A text in which none of these values stands, longest first; short ones are no secrets. */
export function withoutValues(text: string, values: readonly WireValue[]): string {
  const secrets = new Set(values.flatMap(leaves).filter((leaf) => leaf.length >= SHORTEST_SECRET));
  return [...secrets]
    .toSorted((one, other) => other.length - one.length)
    .reduce((rest, secret) => rest.replaceAll(secret, NOT_SHOWN), text);
}

function leaves(value: WireValue): string[] {
  if (value === null || typeof value === 'boolean') return [];
  if (Array.isArray(value)) return value.flatMap(leaves);
  return isObject(value) ? Object.values(value).flatMap(leaves) : [textOf(value)];
}

function isObject(value: WireValue): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

function textOf(value: Exclude<WireValue, null>): string {
  return JSON.isRawJSON(value) ? value.rawJSON : typeof value === 'string' ? value : stringifyJson(value);
}
