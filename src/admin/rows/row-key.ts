import { ApiProblem } from '../http/api-problem.js';

/** The parts of a key, as PostgreSQL prints them → one text: the part itself, or a JSON array of several. */
export function writeKeyText(parts: readonly string[]): string {
  return parts.length === 1 ? parts[0]! : JSON.stringify(parts);
}

/** The parts of a key that names a row of a table; numbers in the array may be bare. @throws ApiProblem */
export function readKeyText(text: string, width: number): string[] {
  if (width === 1) return [text];
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    parts = undefined;
  }
  const fits =
    Array.isArray(parts) && parts.length === width && parts.every((part) => /^(string|number)$/.test(typeof part));
  if (!fits) throw new ApiProblem('bad-request', `A key of this table is a JSON array of ${width} parts.`);
  return (parts as (string | number)[]).map(String);
}
