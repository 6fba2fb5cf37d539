import { describe, expect, test } from '@jest/globals';
import { contentProblems } from '../../scripts/package/contents.ts';
import { undeclaredImports, type Manifest } from '../../scripts/package/imports.ts';

describe('the contents of the package', () => {
  const complete = [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/admin-ui/index.html',
    'dist/admin-ui/licenses.md',
  ].map((path) => ({ path, size: 1, mode: 0o644 }));

  test('what a user needs and nothing else', () => {
    expect(
      contentProblems([...complete, { path: 'dist/cli/main.js', size: 1, mode: 0o755 }], ['dist/cli/main.js']),
    ).toEqual([]);
  });

  test('says what is missing, superfluous or not executable', () => {
    const files = [
      ...complete.slice(1),
      ...['dist/index.js.map', 'src/index.ts', 'dist/cli/main.js'].map((path) => ({ path, size: 1, mode: 0o644 })),
    ];
    expect(contentProblems(files, ['dist/cli/main.js'])).toEqual([
      'package.json is not packed',
      'dist/index.js.map should not be packed',
      'src/index.ts should not be packed',
      'dist/cli/main.js is not executable',
    ]);
  });
});

test('whatever dist imports is a dependency or a peer', () => {
  const manifest = {
    dependencies: { zod: '^4' },
    peerDependencies: { '@mikro-orm/core': '^7' },
  } as unknown as Manifest;
  const text = `
    import * as z from 'zod';
    import { a } from '@mikro-orm/core/internal';
    import { readFileSync } from 'node:fs';
    // import 'commented';
    export type { B } from "@types/b";
    const c = await import('c/d');
    import './own.js';
  `;
  expect(undeclaredImports([{ path: 'dist/x.js', text }], manifest)).toEqual([
    'dist/x.js imports @types/b, which is no dependency',
    'dist/x.js imports c, which is no dependency',
  ]);
});
