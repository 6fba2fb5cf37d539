import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readResults } from '../bench/harness/against.ts';
import { rows } from '../bench/rows.ts';
import { djangoChart, ratioChart } from './docs/performance-charts.ts';
import { insert, performanceProblems, resultsPart } from './docs/performance-page.ts';
import { root } from './support/paths.ts';
import { report } from './support/report.ts';

/**
 * `performance.ts`: every benchmark has its result in docs/performance.md, and every missed goal its reason.
 * `performance.ts --write`: renews the page and its charts from bench/results.json.
 */
const page = `${root}/docs/performance.md`;
const images = `${root}/docs/images/performance`;
const results = existsSync(`${root}/bench/results.json`) ? readResults(`${root}/bench/results.json`) : [];
const charts = { 'ratios.svg': ratioChart(rows, results), 'django.svg': djangoChart(rows, results) };

if (process.argv.includes('--write')) {
  writeFileSync(page, insert(readFileSync(page, 'utf8'), resultsPart(rows, results)));
  mkdirSync(images, { recursive: true });
  for (const [name, chart] of Object.entries(charts)) writeFileSync(`${images}/${name}`, chart);
}
const problems = performanceProblems(rows, results, readFileSync(page, 'utf8'));
for (const [name, chart] of Object.entries(charts)) {
  const path = `${images}/${name}`;
  if (!existsSync(path) || readFileSync(path, 'utf8') !== chart) {
    problems.push(`docs/images/performance/${name} is not what bench/results.json says; run npm run docs:performance`);
  }
}
report(`docs/performance.md: ${rows.length} benchmarks, ${results.length} results`, problems);
