import { posix } from 'node:path';
import type { Page } from './markdown.ts';

/** Every relative link leads to a file, every anchor to a heading. Addresses on the web are not visited. */
export function brokenLinks(pages: readonly Page[], exists: (path: string) => boolean): string[] {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  return pages.flatMap((page) =>
    page.links.flatMap(({ target, line }) => {
      if (/^[a-z][a-z+.-]*:/i.test(target)) return [];
      const [file, anchor] = target.split('#', 2);
      const path = file ? posix.join(posix.dirname(page.path), decodeURIComponent(file)) : page.path;
      const where = `${page.path}:${line}: ${target}`;
      if (path.startsWith('..')) return [`${where} leaves the project`];
      if (!byPath.has(path) && !exists(path)) return [`${where}: no such file`];
      const headings = byPath.get(path)?.anchors;
      return anchor && headings && !headings.has(anchor) ? [`${where}: no such heading`] : [];
    }),
  );
}
