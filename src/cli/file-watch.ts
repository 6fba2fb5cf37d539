import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { extname, join, relative, resolve, sep } from 'node:path';

/** What a service is made of; other files are its data. */
const SOURCES: ReadonlySet<string> = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json']);
/** Editors and compilers write several files at a time. */
const QUIET_MS = 200;

export interface FileWatchOptions {
  readonly root: string;
  /** Files and folders, from the root, that do not count. `node_modules` and names that begin with a dot never do. */
  readonly ignored: readonly string[];
  /** Called with one of the changed files, once things are quiet again. */
  readonly onChange: (path: string) => void;
}

/**
 * Watches the sources in and below a folder, for development. A new folder directly in it is seen after the next start.
 */
export function watchFiles({ root, ignored, onChange }: FileWatchOptions): Disposable {
  const excluded = ignored.map((path) => resolve(root, path));
  const counts = (path: string): boolean =>
    SOURCES.has(extname(path)) &&
    !relative(root, path).split(sep).some(isHidden) &&
    !excluded.some((one) => path === one || path.startsWith(one + sep));

  let timer: NodeJS.Timeout | undefined;
  const changed = (path: string): void => {
    if (!counts(path)) return;
    clearTimeout(timer);
    timer = setTimeout(() => onChange(relative(root, path)), QUIET_MS);
  };
  const watchers: FSWatcher[] = [];
  const add = (folder: string, recursive: boolean): void => {
    const watcher = watch(folder, { recursive }, (_, name) => name !== null && changed(join(folder, name)));
    // A folder that is removed under its watcher.
    watcher.on('error', () => watcher.close());
    watchers.push(watcher);
  };
  add(root, false);
  // One by one: the watcher of the whole tree would go through node_modules, too.
  for (const name of readdirSync(root)) {
    const path = join(root, name);
    if (!isHidden(name) && !excluded.includes(path) && statSync(path).isDirectory()) add(path, true);
  }
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

function isHidden(name: string): boolean {
  return name === 'node_modules' || name.startsWith('.');
}
