import { reaches, type Result, type Row } from '../../bench/harness/row.ts';

/** Charts as SVG that reads on light and on dark pages; plain text, made anew from the results. */

const STYLE = `<style>
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .quiet { fill: #57606a }
    .good { fill: #2da44e } .bad { fill: #cf222e } .goal { stroke: #24292f; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .quiet { fill: #8d96a0 }
      .good { fill: #3fb950 } .bad { fill: #f85149 } .goal { stroke: #e6edf3 }
    }
  </style>`;

const LINE = 22;
const LABEL = 170;
const WIDTH = 460;
const FIGURE = 150;

interface Bar {
  readonly label: string;
  /** 0 to 1 of the width. */
  readonly length: number;
  /** Where the goal is, 0 to 1 of the width. */
  readonly goal: number;
  readonly good: boolean;
  readonly text: string;
}

/** How much of its goal each benchmark has: twice the goal fills the line. */
export function ratioChart(rows: readonly Row[], results: readonly Result[]): string {
  const bars = pairs(rows, results)
    .filter(({ row }) => !isDjango(row))
    .map(({ row, result }): Bar => {
      // For an upper bound less is more.
      const share = result.atMost ? result.goal / result.ratio : result.ratio / result.goal;
      return {
        label: row.name,
        length: Math.min(1, share / 2),
        goal: 0.5,
        good: reaches(result),
        text: `${result.ratio}  (${result.atMost ? '≤' : '≥'} ${result.goal})`,
      };
    });
  return chart('Ours beside its raw twin: how far each ratio is to its goal (the line)', bars);
}

/** How many times as fast as django-cqrs, on a scale of powers of ten. */
export function djangoChart(rows: readonly Row[], results: readonly Result[]): string {
  const scale = (times: number): number => Math.min(1, Math.max(0.01, Math.log10(Math.max(1, times)) / 3));
  const bars = pairs(rows, results)
    .filter(({ row }) => isDjango(row))
    .map(({ row, result }): Bar => ({
      label: row.name,
      length: scale(result.ratio),
      goal: scale(result.goal),
      good: reaches(result),
      text: `${result.ratio} ×  (≥ ${result.goal})`,
    }));
  return chart('Ours beside django-cqrs: 1 × to 1,000 ×, by powers of ten; the line is the goal', bars);
}

function pairs(rows: readonly Row[], results: readonly Result[]): { row: Row; result: Result }[] {
  const byName = new Map(results.map((result) => [result.name, result]));
  return rows.flatMap((row) => (byName.has(row.name) ? [{ row, result: byName.get(row.name)! }] : []));
}

function isDjango(row: Row): boolean {
  return row.name.includes('django');
}

function chart(title: string, bars: readonly Bar[]): string {
  const width = LABEL + WIDTH + FIGURE;
  const height = 40 + bars.length * LINE;
  const lines = bars.map(({ label, length, goal, good, text }, index) => {
    const y = 36 + index * LINE;
    const at = (share: number): string => (LABEL + share * WIDTH).toFixed(1);
    return `  <text x="${LABEL - 8}" y="${y + 11}" text-anchor="end">${escape(label)}</text>
  <rect class="${good ? 'good' : 'bad'}" x="${LABEL}" y="${y}" width="${(length * WIDTH).toFixed(1)}" height="14" rx="2"/>
  <line class="goal" x1="${at(goal)}" x2="${at(goal)}" y1="${y - 2}" y2="${y + 16}"/>
  <text class="quiet" x="${LABEL + WIDTH + 8}" y="${y + 11}">${escape(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
  ${STYLE}
  <text x="0" y="16">${escape(title)}</text>
${lines.join('\n')}
</svg>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
