import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { CLAIMS } from '../../scripts/docs/claims.ts';
import { withoutGreenTest } from '../../scripts/docs/green-claims.ts';
import { claimProblems, guaranteesPage, taggedTests } from '../../scripts/docs/guarantees-page.ts';
import { allTaggedTests } from '../../scripts/docs/tagged-tests.ts';
import { root } from '../support/source-files.ts';

test('docs/guarantees.md is what the tests and the last report say', () => {
  const tests = allTaggedTests();
  expect(claimProblems(tests)).toEqual([]);
  expect(readFileSync(`${root}/docs/guarantees.md`, 'utf8')).toBe(guaranteesPage(tests));
});

test('a tag is read from above its test, several claims in one line', () => {
  const text = "  // claims: row-order, re-creation\n  test('two lives', async () => {\n";
  expect(taggedTests('a.test.ts', text)).toEqual([
    { path: 'a.test.ts', title: 'two lives', claims: ['row-order', 're-creation'] },
  ]);
});

test('a tag above no test is an error', () => {
  expect(() => taggedTests('a.test.ts', '// claims: row-order\nconst nothing = 1;\n')).toThrow(
    "a.test.ts: a 'claims:' without a test below it",
  );
});

test('a claim without a test, an unknown claim and a failed case are problems', () => {
  const failed = { name: 'master.after-commit', action: 'kill', seed: 1, injected: 1, recoveryMs: 5, lost: 1 };
  const report = [{ ...failed, resurrected: 0, duplicatedEffects: 0, deadLetterCopies: 0, problems: [] }];
  const problems = claimProblems([{ path: 'a.test.ts', title: 'a', claims: ['no-such-thing'] }], report);
  expect(problems).toContain("a.test.ts: 'a' claims 'no-such-thing', which is no claim");
  expect(problems).toContain('master.after-commit kill failed in the report');
  for (const { id } of CLAIMS) expect(problems).toContain(`no test shows '${id}'`);
});

test('a claim is green when each test of its name was run and passed', () => {
  const tagged = { path: 'test/a.test.ts', title: 'over ${broker}', claims: ['row-order'] };
  const run = (status: string, title = 'over RabbitMQ') => [
    { name: '/home/me/test/a.test.ts', assertionResults: [{ ancestorTitles: ['all'], title, status }] },
  ];
  expect(withoutGreenTest([tagged], run('passed'))).toEqual([]);
  expect(withoutGreenTest([tagged], run('failed'))).toEqual([
    "test/a.test.ts: 'over ${broker}' (row-order) did not pass",
  ]);
  expect(withoutGreenTest([tagged], run('pending'))).toHaveLength(1);
  expect(withoutGreenTest([tagged], run('passed', 'something else'))).toEqual([
    "test/a.test.ts: 'over ${broker}' (row-order) was not run",
  ]);
});
