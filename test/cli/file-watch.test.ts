import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { watchFiles } from '../../src/cli/file-watch.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cqrs-watch-'));
  for (const folder of ['src/deep', 'data', 'node_modules/some', '.cache'])
    mkdirSync(join(root, folder), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (path: string): void => writeFileSync(join(root, path), 'x');

test('a source that changes is told, in the folder and below it; what is no source, hidden or ignored is not', async () => {
  let heard = Promise.withResolvers<string>();
  using _ = watchFiles({ root, ignored: ['data', 'src/generated.ts'], onChange: (path) => heard.resolve(path) });
  const told: string[] = [];
  for (const source of ['src/deep/account.ts', 'mikro-orm.config.js']) {
    for (const other of [
      'src/notes.txt',
      'src/generated.ts',
      'data/x.json',
      'node_modules/some/index.js',
      '.cache/y.js',
    ]) {
      write(other);
    }
    write(source);
    told.push(await heard.promise);
    heard = Promise.withResolvers();
  }
  expect(told).toEqual(['src/deep/account.ts', 'mikro-orm.config.js']);
});

test('files written together are told once, and nothing after the end', async () => {
  const told: string[] = [];
  let heard = Promise.withResolvers<void>();
  const watching = watchFiles({ root, ignored: [], onChange: (path) => (told.push(path), heard.resolve()) });
  for (const name of ['a', 'b', 'c']) write(`src/${name}.ts`);
  await heard.promise;
  watching[Symbol.dispose]();
  heard = Promise.withResolvers();
  write('src/d.ts');
  using later = watchFiles({ root, ignored: [], onChange: () => heard.resolve() });
  expect(later).toBeDefined();
  write('src/e.ts');
  await heard.promise;
  expect(told).toHaveLength(1);
});
