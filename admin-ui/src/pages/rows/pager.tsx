import type { RowCount } from '../../../../src/admin/contract.ts';
import { formatCount } from '../../format.ts';
import { PageButtons } from '../../parts/page-buttons.tsx';

const LIMITS = [50, 100, 200, 500];

/** One page on or back, by key: as fast on the millionth row as on the first. */
export function Pager({
  shown,
  count,
  limit,
  onLimit,
  onPrevious,
  onNext,
}: {
  readonly shown: number;
  /** Undefined: it is being counted. */
  readonly count: RowCount | undefined;
  readonly limit: number;
  readonly onLimit: (limit: number) => void;
  readonly onPrevious: (() => void) | null;
  readonly onNext: (() => void) | null;
}) {
  return (
    <footer className="pager">
      <span className="soft number" role="status">
        {formatCount(shown)} shown · {countInWords(count)}
      </span>
      <div className="actions">
        <label className="soft">
          a page has{' '}
          <select className="select" value={limit} onChange={(event) => onLimit(Number(event.target.value))}>
            {LIMITS.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <PageButtons onPrevious={onPrevious} onNext={onNext} />
      </div>
    </footer>
  );
}

function countInWords(count: RowCount | undefined): string {
  if (!count) return 'counting…';
  if (count.count === null) return 'too many to count';
  return `${count.exact ? '' : 'about '}${formatCount(count.count)} ${count.count === 1 ? 'matches' : 'match'}`;
}
