import { ApiProblem } from '../http/api-problem.js';

/** A place between two rows: what they are sorted by, and the key. */
export interface Place {
  /** Undefined when they are sorted by the key alone. */
  readonly value?: string | null;
  readonly key: readonly string[];
}

export function writeCursor({ value, key }: Place): string {
  return Buffer.from(JSON.stringify(value === undefined ? [key] : [key, value])).toString('base64url');
}

/** @throws ApiProblem when it is none of ours, or belongs to another order. */
export function readCursor(text: string, width: number, withValue: boolean): Place {
  const [key, value, ...rest] = parse(text);
  const fits =
    rest.length === 0 &&
    Array.isArray(key) &&
    key.length === width &&
    key.every((part) => typeof part === 'string') &&
    (withValue ? value === null || typeof value === 'string' : value === undefined);
  if (!fits) throw new ApiProblem('bad-request', 'The place to go on from belongs to another list.');
  return withValue ? { key: key as string[], value: value as string | null } : { key: key as string[] };
}

function parse(text: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}
