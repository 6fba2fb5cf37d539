import { globSync, readFileSync } from 'node:fs';
import { root } from '../support/paths.ts';
import { type TaggedTest, taggedTests } from './guarantees-page.ts';

/** Every test of the project that says what it shows. */
export function allTaggedTests(): TaggedTest[] {
  return globSync('test/**/*.ts', { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .flatMap((path) =>
      path.startsWith('test/scripts/') ? [] : taggedTests(path, readFileSync(`${root}/${path}`, 'utf8')),
    );
}
