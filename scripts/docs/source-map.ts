import type { Page } from './markdown.ts';

/**
 * src/README.md draws the tree of src in its first ```text block: two blanks a level, folders end with a slash, and
 * behind each name stands what it is.
 */
export interface Entry {
  readonly path: string;
  readonly says: string;
}

export function drawnTree(map: Page): Entry[] {
  const drawing = map.fences.find(({ language }) => language === 'text')?.text ?? '';
  const folders: string[] = [];
  const entries: Entry[] = [];
  for (const line of drawing.split('\n')) {
    const found = /^( *)(\S+)\s*(.*)$/.exec(line);
    if (!found) continue;
    const [, blanks, name, says] = found as unknown as [string, string, string, string];
    const level = blanks.length / 2;
    folders.length = Math.min(folders.length, Math.floor(level));
    if (name.endsWith('/')) folders[Math.floor(level)] = name;
    else entries.push({ path: folders.slice(1).join('') + name, says });
  }
  return entries;
}

/** Folders and files on the first level of such a drawing. */
export function drawnLevel(map: Page): Entry[] {
  const drawing = map.fences.find(({ language }) => language === 'text')?.text ?? '';
  return [...drawing.matchAll(/^ {2}(\S+)\s*(.*)$/gm)].map(([, path, says]) => ({ path: path!, says: says! }));
}

/** @param files every source file, as paths inside src */
export function mapProblems(map: Page, files: readonly string[]): string[] {
  const entries = drawnTree(map);
  const drawn = entries.map(({ path }) => path);
  return [
    ...files.filter((file) => !drawn.includes(file)).map((file) => `${file} is missing from the tree`),
    ...drawn.filter((file) => !files.includes(file)).map((file) => `${file} is in the tree, but does not exist`),
    ...drawn.filter((file, index) => drawn.indexOf(file) < index).map((file) => `${file} is in the tree twice`),
    ...entries.filter(({ says }) => says === '').map(({ path }) => `${path} stands there without a word`),
  ];
}
