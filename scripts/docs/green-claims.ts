import type { TaggedTest } from './guarantees-page.ts';

/** What `jest --json` says of one file. */
export interface JestFile {
  readonly name: string;
  readonly assertionResults: readonly {
    readonly ancestorTitles: readonly string[];
    readonly title: string;
    readonly status: string;
  }[];
}

/** Tagged tests that did not pass in these runs. A name of several tests stands for all of them. */
export function withoutGreenTest(tests: readonly TaggedTest[], files: readonly JestFile[]): string[] {
  return tests.flatMap(({ path, title, claims }) => {
    // Stories are told by several test files.
    const told = path.endsWith('.test.ts') ? files.filter(({ name }) => slashes(name).endsWith(`/${path}`)) : files;
    const pattern = titlePattern(title);
    const found = told.flatMap(({ assertionResults }) =>
      assertionResults.filter((one) => [...one.ancestorTitles, one.title].some((name) => pattern.test(name))),
    );
    const where = `${path}: '${title}' (${claims.join(', ')})`;
    if (found.length === 0) return [`${where} was not run`];
    const red = found.filter(({ status }) => status !== 'passed');
    return red.length > 0 ? [`${where} did not pass`] : [];
  });
}

/** `${…}` and `%s` in a title stand for anything; `history` puts its number in front. */
function titlePattern(title: string): RegExp {
  const parts = title.split(/\$\{[^}]*\}|%[sdijop]/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^(?:history \\d+: )?${parts.join('.*')}$`);
}

const slashes = (path: string): string => path.replaceAll('\\', '/');
