import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { type Page, parsePage } from '../scripts/docs/markdown.ts';
import { drawnLevel, mapProblems } from '../scripts/docs/source-map.ts';
import { root, sourceFiles } from './support/source-files.js';

const page = (path: string): Page => parsePage(path, readFileSync(`${root}/${path}`, 'utf8'));

test('src/README.md draws the tree as it is, with a word about each file', () => {
  const files = sourceFiles().map(({ path }) => path);
  expect(mapProblems(page('src/README.md'), files)).toEqual([]);
});

test.each(['test', 'bench', 'scripts'])('%s/README.md draws what stands in it, with a word about each', (folder) => {
  const there = readdirSync(`${root}/${folder}`, { withFileTypes: true })
    .filter(({ name }) => name !== 'README.md')
    .filter((one) => !one.isDirectory() || holdsFiles(`${root}/${folder}/${one.name}`))
    .map((one) => (one.isDirectory() ? `${one.name}/` : one.name));
  const drawn = drawnLevel(page(`${folder}/README.md`));
  expect(drawn.map(({ path }) => path).toSorted()).toEqual(there.toSorted());
  expect(drawn.filter(({ says }) => says === '')).toEqual([]);
});

test.each(['CONTRIBUTING.md', 'docs/decisions.md', 'src/README.md', 'test/README.md', 'bench/README.md'])(
  'the paths that %s names exist',
  (path) => {
    const named = [
      ...readFileSync(`${root}/${path}`, 'utf8').matchAll(
        /`((?:src|test|bench|scripts|docs|admin-ui|examples)\/[^`*<{ ]+)`/g,
      ),
    ];
    expect(named.map(([, name]) => name!).filter((name) => !existsSync(`${root}/${name}`))).toEqual([]);
  },
);

// Git leaves empty folders where files were moved away.
function holdsFiles(folder: string): boolean {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).some((one) => one.isFile());
}
