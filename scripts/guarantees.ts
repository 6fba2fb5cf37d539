import { writeFileSync } from 'node:fs';
import { claimProblems, guaranteesPage } from './docs/guarantees-page.ts';
import { allTaggedTests } from './docs/tagged-tests.ts';
import { root } from './support/paths.ts';
import { report } from './support/report.ts';

const tests = allTaggedTests();
const problems = claimProblems(tests);
if (problems.length === 0) writeFileSync(`${root}/docs/guarantees.md`, guaranteesPage(tests));
report(`docs/guarantees.md: ${tests.length} tests`, problems);
