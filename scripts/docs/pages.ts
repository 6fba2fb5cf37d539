import { globSync, readFileSync } from 'node:fs';
import { root } from '../support/paths.ts';
import { parsePage, type Page } from './markdown.ts';

const WHERE = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/**/*.md', 'src/**/*.md', 'examples/**/*.md'];

export function allPages(): readonly Page[] {
  return globSync(WHERE, { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .map((path) => parsePage(path, readFileSync(`${root}/${path}`, 'utf8')));
}
