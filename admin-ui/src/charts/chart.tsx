import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { formatTime } from '../format.ts';
import { useIsDark } from '../theme.ts';

export interface Series {
  readonly name: string;
  /** 1…4: one of the colours of charts. */
  readonly tone: number;
  readonly values: readonly (number | null)[];
}

const HEIGHT = 190;

/**
 * Lines over time. The picture is for eyes alone; the legend says in words what is now (or under the pointer) and what
 * was the most.
 */
export function Chart({
  title,
  times,
  series,
  format,
}: {
  readonly title: string;
  /** In seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const isDark = useIsDark();
  const data = [times, ...series.map(({ values }) => values)] as uPlot.AlignedData;
  const latest = useRef(data);
  const names = series.map(({ name, tone }) => `${name} ${tone}`).join();

  useEffect(() => {
    latest.current = data;
    plot.current?.setData(data);
  });

  // drawn anew only when colours or lines change; numbers go into the picture that is there
  useEffect(() => {
    const box = place.current!;
    const made = new uPlot(options(box, series, format, setPointed), latest.current, box);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height: HEIGHT }));
    observer.observe(box);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [names, isDark, format]);

  const at = pointed ?? times.length - 1;
  return (
    <figure className="panel chart">
      <figcaption>
        <h3>{title}</h3>
        <span className="soft number">
          {pointed !== null && times[pointed] ? formatTime(new Date(times[pointed] * 1_000).toISOString()) : ''}
        </span>
      </figcaption>
      <div ref={place} className="plot" aria-hidden="true" />
      <ul className="legend">
        {series.map(({ name, tone, values }) => (
          <li key={name} data-tone={tone}>
            {name} <strong>{inWords(values[at] ?? null, format)}</strong>
            <span className="soft"> most {inWords(most(values), format)}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

const inWords = (value: number | null, format: (value: number) => string): string =>
  value === null ? '–' : format(value);

function most(values: readonly (number | null)[]): number | null {
  let highest: number | null = null;
  for (const value of values) if (value !== null && (highest === null || value > highest)) highest = value;
  return highest;
}

function options(
  box: HTMLElement,
  series: readonly Series[],
  format: (value: number) => string,
  point: (index: number | null) => void,
): uPlot.Options {
  const colour = (variable: string): string => resolve(box, variable);
  const axis: uPlot.Axis = {
    stroke: colour('--text-soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  return {
    width: box.clientWidth || 300,
    height: HEIGHT,
    padding: [8, 22, 0, 0],
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, __, highest) => [0, Math.max(highest ?? 0, 1) * 1.1] } },
    axes: [
      {
        ...axis,
        size: 28,
        values: [
          [86_400, '{D} {MMM}', null, null, null, null, null, null, 1],
          [3_600, '{HH}:{mm}', '\n{D} {MMM}', null, null, null, null, null, 1],
          [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
          [1, ':{ss}', '\n{HH}:{mm}', null, null, null, null, null, 1],
        ],
      },
      { ...axis, size: 58, values: (_, values) => values.map(format) },
    ],
    series: [
      {},
      ...series.map(({ tone }) => ({
        stroke: colour(`--chart-${tone}`),
        fill: colour(`--chart-${tone}`).replaceAll(',', '').replace(')', ' / 0.08)'),
        width: 1.75,
        // a single minute is no line
        points: { show: true, size: 4, fill: colour(`--chart-${tone}`) },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  };
}

/** A canvas does not know variables nor light-dark(). */
function resolve(box: HTMLElement, variable: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${variable})`;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
