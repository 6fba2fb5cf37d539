import { METRICS } from '../../src/observability/metric-list.ts';

const BEGIN = '<!-- Made by `npm run docs:metrics` from src/observability/metric-list.ts: change it there. -->';
const END = '<!-- /metrics -->';

/** The page with its table of metrics made anew. */
export function withMetricsTable(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('docs/watching.md has lost the marks around its table of metrics');
  const rows = Object.values(METRICS).map(
    ({ name, kind, labels, help }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  const table = ['| metric | kind | labels | what it says |', '|---|---|---|---|', ...rows].join('\n');
  return `${page.slice(0, begin)}${BEGIN}\n\n${table}\n\n${page.slice(end)}`;
}
