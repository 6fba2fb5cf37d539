import { existsSync, globSync, readFileSync } from 'node:fs';
import { API_FILE, apiDocument } from './docs/api-document.ts';
import { unknownCommands } from './docs/commands.ts';
import { claimProblems, guaranteesPage } from './docs/guarantees-page.ts';
import { brokenLinks } from './docs/links.ts';
import { withMetricsTable } from './docs/metrics-table.ts';
import { allPages } from './docs/pages.ts';
import { settingsPage } from './docs/settings-page.ts';
import { checkSnippets } from './docs/snippets.ts';
import { mapProblems } from './docs/source-map.ts';
import { allTaggedTests } from './docs/tagged-tests.ts';
import { root } from './support/paths.ts';
import { report } from './support/report.ts';

const pages = allPages();
const count = pages.flatMap(({ links }) => links).length;
report(
  `${count} links`,
  brokenLinks(pages, (path) => existsSync(`${root}/${path}`)),
);

const snippets = await checkSnippets(pages);
report(`${snippets.compiled} snippets compile, ${snippets.ran} run`, snippets.problems);

const settings = existsSync(`${root}/docs/settings.md`) && readFileSync(`${root}/docs/settings.md`, 'utf8');
report(
  'docs/settings.md',
  settings === settingsPage() ? [] : ['differs from src/kernel/settings.ts: npm run docs:settings'],
);

const api = existsSync(API_FILE) && readFileSync(API_FILE, 'utf8');
report('docs/admin-api.json', api === apiDocument() ? [] : ['differs from src/admin/contract: npm run docs:api']);

const watching = readFileSync(`${root}/docs/watching.md`, 'utf8');
report(
  'docs/watching.md',
  watching === withMetricsTable(watching)
    ? []
    : ['differs from src/observability/metric-list.ts: npm run docs:metrics'],
);

const tagged = allTaggedTests();
const guarantees = existsSync(`${root}/docs/guarantees.md`) && readFileSync(`${root}/docs/guarantees.md`, 'utf8');
report('docs/guarantees.md', [
  ...claimProblems(tagged),
  ...(guarantees === guaranteesPage(tagged) ? [] : ['differs from tests and report: npm run docs:guarantees']),
]);

const map = pages.find(({ path }) => path === 'src/README.md');
const sources = globSync('**/*.ts', { cwd: `${root}/src` }).map((path) => path.replaceAll('\\', '/'));
report('src/README.md', map ? mapProblems(map, sources.toSorted()) : ['does not exist']);

// the last one, since it loads src as a whole, which may be broken
const { knownCommands } = await import('./docs/known-commands.ts');
report('commands', unknownCommands(pages, knownCommands()));
