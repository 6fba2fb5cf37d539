import { type Explanation, explanations } from '../../bench/explanations.ts';
import { reaches, type Result, type Row } from '../../bench/harness/row.ts';

/** The generated part of docs/performance.md, and what is wrong with it. */

export const BEGIN = '<!-- results: made by `npm run docs:performance` from bench/results.json -->';
export const END = '<!-- /results -->';

export function performanceProblems(
  rows: readonly Row[],
  results: readonly Result[],
  page: string,
  explained: Readonly<Record<string, Explanation>> = explanations,
): string[] {
  const problems: string[] = [];
  const byName = new Map(results.map((result) => [result.name, result]));
  for (const row of rows) {
    const result = byName.get(row.name);
    if (!result) {
      problems.push(`${row.name}: bench/results.json has no result; run npm run bench -- --json > bench/results.json`);
      continue;
    }
    if (result.goal !== row.goal || result.atMost !== (row.atMost ?? false)) {
      problems.push(`${row.name}: was measured against another goal (${result.goal})`);
    }
    if (!reaches(result) && !explained[row.name]) {
      problems.push(`${row.name}: missed (${result.ratio}), and bench/explanations.ts does not say why`);
    }
  }
  const known = new Set(rows.map(({ name }) => name));
  for (const { name } of results) if (!known.has(name)) problems.push(`${name}: there is no such benchmark any more`);
  if (problems.length === 0 && insert(page, resultsPart(rows, results, explained)) !== page) {
    problems.push('docs/performance.md is not what bench/results.json says; run npm run docs:performance');
  }
  return problems;
}

/** The page with its generated part renewed. @throws Error when the marks are missing */
export function insert(page: string, part: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md lacks the marks ${BEGIN} and ${END}`);
  return `${page.slice(0, from)}${BEGIN}\n\n${part}\n\n${page.slice(to)}`;
}

export function resultsPart(
  rows: readonly Row[],
  results: readonly Result[],
  explained: Readonly<Record<string, Explanation>> = explanations,
): string {
  const byName = new Map(results.map((result) => [result.name, result]));
  const measured = rows.flatMap((row) => {
    const result = byName.get(row.name);
    return result ? [{ row, result }] : [];
  });
  const lines = [
    '![Ratio of ours to its twin, and the goal](images/performance/ratios.svg)',
    '',
    '![How many times faster than django-cqrs](images/performance/django.svg)',
    '',
    '| benchmark | work | against | ours | twin | django-cqrs | ratio | goal |',
    '|---|---|---|--:|--:|--:|--:|--:|',
    ...measured.map(({ row, result }) => {
      const django = row.beside === undefined ? undefined : byName.get(row.beside)?.twin;
      const mark = reaches(result) ? '✓' : '✗';
      const cells = [
        `\`${row.name}\``,
        row.work,
        row.against,
        `${figure(result.ours)} ${result.unit}`,
        figure(result.twin),
        django === undefined ? '' : figure(django),
        `${mark} ${result.ratio}`,
        `${result.atMost ? '≤' : '≥'} ${result.goal}`,
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
  const missed = measured.filter(({ result }) => !reaches(result));
  lines.push('', `${measured.length - missed.length} of ${measured.length} goals are reached.`);
  if (missed.length > 0) {
    lines.push('', '### Missed, and why', '');
    for (const { row, result } of missed) {
      const why = explained[row.name];
      const goal = `${result.atMost ? '≤' : '≥'} ${result.goal}`;
      lines.push(
        `- \`${row.name}\` (${result.ratio}, goal ${goal}). ${why ? `${why.profile} *Would lift it:* ${why.lift}` : ''}`.trim(),
      );
    }
  }
  return lines.join('\n');
}

function figure(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(value);
}
