import { readFileSync, writeFileSync } from 'node:fs';
import { withMetricsTable } from './docs/metrics-table.ts';
import { root } from './support/paths.ts';

const path = `${root}/docs/watching.md`;
writeFileSync(path, withMetricsTable(readFileSync(path, 'utf8')));
console.log('wrote docs/watching.md');
