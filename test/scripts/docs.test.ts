import { describe, expect, test } from '@jest/globals';
import { commandsIn, unknownCommands } from '../../scripts/docs/commands.ts';
import { brokenLinks } from '../../scripts/docs/links.ts';
import { parsePage, slug } from '../../scripts/docs/markdown.ts';
import { modulesOf } from '../../scripts/docs/snippets.ts';
import { mapProblems } from '../../scripts/docs/source-map.ts';

const page = (...lines: string[]) => parsePage('docs/guide.md', lines.join('\n'));

describe('links', () => {
  test('to files and headings must lead somewhere; those in code and on the web are left alone', () => {
    const guide = page(
      '# A `first` heading: here',
      '# Twice',
      '# Twice',
      '[a](#a-first-heading-here) [b](#twice-1) [c](../README.md#top) [d](https://example.com/x) `[e](nowhere.md)`',
      '```ts',
      '[f](nowhere.md)',
      '```',
      '[g](gone.md) [h](#gone) [i](../README.md#gone)',
      '[j]: gone-too.md',
    );
    const readme = parsePage('README.md', '# Top');
    expect(brokenLinks([guide, readme], () => false)).toEqual([
      'docs/guide.md:8: gone.md: no such file',
      'docs/guide.md:8: #gone: no such heading',
      'docs/guide.md:8: ../README.md#gone: no such heading',
      'docs/guide.md:9: gone-too.md: no such file',
    ]);
  });

  test.each([
    ['What is captured, and what is not', 'what-is-captured-and-what-is-not'],
    ['`cqrs consume` – the worker', 'cqrs-consume--the-worker'],
    ['[Linked](x.md) heading', 'linked-heading'],
  ])('%s → %s', (heading, anchor) => {
    expect(slug(heading)).toBe(anchor);
  });
});

describe('snippets', () => {
  test('are modules of their own, unless they continue the one before or have a name', () => {
    const modules = modulesOf(
      page('```ts', 'const a = 1;', '```', '', '```ts continues run', 'a;', '```', '```ts', '// src/b.ts', '```'),
    );
    expect(modules.map(({ file, run }) => ({ file, run }))).toEqual([
      { file: 'line-2.ts', run: true },
      { file: 'src/b.ts', run: false },
    ]);
  });

  test("keep the page's line numbers", () => {
    const [module] = modulesOf(page('Text', '```ts', 'const a = 1;', '```', '', '```ts continues', 'a.b;', '```'));
    expect(module!.text.split('\n')[2]).toBe('const a = 1;');
    expect(module!.text.split('\n')[6]).toBe('a.b;');
  });

  test('in ~~~ or longer fences may hold fences', () => {
    expect(page('````md', '```ts', 'x', '```', '````').fences).toMatchObject([
      { language: 'md', text: '```ts\nx\n```' },
    ]);
  });
});

describe('commands', () => {
  const known = {
    scripts: ['test', 'demo'],
    commands: new Map([
      ['consume', ['--queue']],
      ['letters list', ['--all']],
    ]),
  };

  test('are read from scripts as people write them', () => {
    const script = '$ npm ci && npm run demo   # shows it\nA=1 B=2 npx cqrs consume \\\n  --queue q | tee log';
    expect(commandsIn(script).map(({ words }) => words.join(' '))).toEqual([
      'npm ci',
      'npm run demo',
      'npx cqrs consume --queue q',
      'tee log',
    ]);
  });

  test('must exist, with their options', () => {
    const guide = page(
      '```sh',
      'npm test -- test/x && npm run demo',
      'npm run gone',
      'npx cqrs consume --queue a --gone=1',
      'cqrs gone',
      'cqrs letters list --all',
      '```',
      '```sh no-run',
      'npm run gone',
      '```',
    );
    expect(unknownCommands([guide], known)).toEqual([
      "docs/guide.md:3: package.json has no script 'gone'",
      "docs/guide.md:4: 'cqrs consume' has no option --gone",
      "docs/guide.md:5: there is no command 'cqrs gone'",
    ]);
  });
});

test('the map of src names every file once, with a word about it', () => {
  const map = page(
    '```text',
    'src/',
    '  index.ts     the API',
    '  core/        words',
    '    a.ts  A',
    '    b.ts',
    '    gone.ts  x',
    '```',
  );
  expect(mapProblems(map, ['index.ts', 'core/a.ts', 'core/b.ts', 'core/new.ts'])).toEqual([
    'core/new.ts is missing from the tree',
    'core/gone.ts is in the tree, but does not exist',
    'core/b.ts stands there without a word',
  ]);
});
