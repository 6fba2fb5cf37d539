import { readdirSync, statSync } from 'node:fs';

/** When something in the folder was last changed, in milliseconds. */
export function newestChange(folder: string): number {
  const times = readdirSync(folder, { recursive: true, withFileTypes: true }).map(
    (entry) => statSync(`${entry.parentPath}/${entry.name}`).mtimeMs,
  );
  return Math.max(...times, 0);
}
