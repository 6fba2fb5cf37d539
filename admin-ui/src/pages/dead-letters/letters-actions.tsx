import { useState } from 'react';
import type { LettersAction } from '../../../../src/admin/contract.ts';
import { useAction } from '../../api/use-action.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';

/** Dry-run, retry and purge of some dead letters. What changes something asks first. */
export function LettersActions({
  what,
  suffix = '',
  isMain = true,
  count,
  selection,
  onStarted,
}: {
  /** As in "Retry …?": 'all 12 dead letters'. */
  readonly what: string;
  /** Behind the words on the buttons, to tell one group of them from another. */
  readonly suffix?: string;
  /** Whether retrying them is the first thing to do here. */
  readonly isMain?: boolean;
  readonly count: number;
  readonly selection: LettersAction['selection'];
  readonly onStarted: (job: string) => void;
}) {
  const [asking, setAsking] = useState<'retry' | 'purge' | null>(null);
  const started = ({ id }: { id: string }): void => {
    setAsking(null);
    onStarted(id);
  };
  const dryRun = useAction('dryRunLetters', started);
  const retry = useAction('retryLetters', started);
  const purge = useAction('purgeLetters', started);
  const isBusy = dryRun.isPending || retry.isPending || purge.isPending;
  const options = { body: { selection, expected: count } };
  const isNone = count === 0;
  return (
    <div className="actions">
      <button
        type="button"
        className="button small"
        disabled={isBusy || isNone}
        title="Applies them and rolls back: would it work now?"
        onClick={() => dryRun.mutate(options)}
      >
        Dry run{suffix}
      </button>
      <button
        type="button"
        className={`button small ${isMain ? 'primary' : ''}`}
        disabled={isBusy || isNone}
        onClick={() => setAsking('retry')}
      >
        Retry{suffix}
      </button>
      <button
        type="button"
        className="button small danger"
        disabled={isBusy || isNone}
        onClick={() => setAsking('purge')}
      >
        Purge{suffix}
      </button>
      <ConfirmDialog
        open={asking === 'retry'}
        title={`Retry ${what}?`}
        confirm="Retry now"
        isBusy={isBusy}
        onConfirm={() => retry.mutate(options)}
        onClose={() => setAsking(null)}
      >
        They go back to their queue with their retries starting anew. A state that is older than the row is skipped, as
        always.
      </ConfirmDialog>
      <ConfirmDialog
        open={asking === 'purge'}
        title={`Purge ${what}?`}
        confirm="Purge for good"
        isDangerous
        isBusy={isBusy}
        onConfirm={() => purge.mutate(options)}
        onClose={() => setAsking(null)}
      >
        The messages are purged and cannot be brought back. Their rows stay as they are here, until the master changes
        them again or somebody synchronizes them.
      </ConfirmDialog>
    </div>
  );
}
