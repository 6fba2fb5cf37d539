/** A name as SQL spells it, whatever characters it holds. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
