import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parsePage } from '../scripts/docs/markdown.ts';
import { mapProblems } from '../scripts/docs/source-map.ts';
import { root, sourceFiles } from './support/source-files.js';

test('src/README.md draws the tree as it is, with a word about each file', () => {
  const map = parsePage('src/README.md', readFileSync(`${root}/src/README.md`, 'utf8'));
  const files = sourceFiles().map(({ path }) => path);
  expect(mapProblems(map, files)).toEqual([]);
});
