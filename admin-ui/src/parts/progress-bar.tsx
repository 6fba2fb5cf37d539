import { Progress } from '@base-ui/react/progress';
import type { ReactNode } from 'react';

/** How far something is; without a total it only moves. */
export function ProgressBar({
  label,
  done,
  total,
  tone,
  words,
}: {
  readonly label: string;
  readonly done: number;
  readonly total: number | null;
  readonly tone?: 'good' | 'bad' | undefined;
  readonly words?: ReactNode;
}) {
  return (
    <div className="progress" data-tone={tone}>
      <Progress.Root
        value={total === null ? null : Math.min(done, total)}
        max={Math.max(total ?? 1, 1)}
        aria-label={label}
        getAriaValueText={() => (total === null ? `${done} so far` : `${done} of ${total}`)}
      >
        <Progress.Track className="progress-track">
          <Progress.Indicator className="progress-fill" />
        </Progress.Track>
      </Progress.Root>
      {words && <div className="progress-words">{words}</div>}
    </div>
  );
}
