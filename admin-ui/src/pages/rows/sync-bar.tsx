import { useState } from 'react';
import type { MasterInfo, SyncRequest } from '../../../../src/admin/contract.ts';
import { useAction } from '../../api/use-action.ts';
import { useService } from '../../api/use-service.ts';
import { formatCount, plural } from '../../format.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Icon } from '../../parts/icons.tsx';
import { QueueChoice } from '../../parts/queue-choice.tsx';
import { conditionInWords } from './conditions.ts';
import type { Shown } from './rows-panel.tsx';

/** Rows by their keys, page after page, or everything that matches. */
export interface Selected {
  readonly keys: Readonly<Record<string, true>>;
  readonly everything: boolean;
}

/** More keys than this do not travel in one request. */
const MOST_KEYS = 10_000;

/** What is selected, for whom, and the button. What was picked by hand goes at once, everything is asked about first. */
export function SyncBar({
  master,
  shown: { matching, isNarrowed, count, rows },
  selected,
  onSelect,
  onStarted,
}: {
  readonly master: MasterInfo;
  readonly shown: Shown;
  readonly selected: Selected;
  readonly onSelect: (selected: Selected) => void;
  readonly onStarted: (job: string) => void;
}) {
  const { queues } = useService();
  const [queue, setQueue] = useState<string | null>(null);
  const [isAsking, setAsking] = useState(false);
  const sync = useAction('sync', ({ id }) => {
    setAsking(false);
    onStarted(id);
  });
  const keys = Object.keys(selected.keys).filter((key) => selected.keys[key]);
  const isPageSelected = rows.length > 0 && rows.every(({ key }) => selected.keys[key]);
  const everyone = count?.count ?? null;
  const everythingInWords = `everything${isNarrowed ? ' that matches' : ''}${
    everyone === null ? '' : ` (${count!.exact ? '' : 'about '}${plural(everyone, 'row')})`
  }`;
  const start = (selection: SyncRequest['selection']): void =>
    sync.mutate({ path: { cqrsId: master.cqrsId }, body: { queue: queue || null, selection } });

  const isNobody = keys.length === 0 && !selected.everything;
  return (
    <div className="sync-bar" role="group" aria-label="Selection">
      <div className="sync-bar-what">
        {selected.everything ? (
          <strong>Selected: {everythingInWords}</strong>
        ) : keys.length > 0 ? (
          <strong className="number">{plural(keys.length, 'row')} selected</strong>
        ) : (
          <span className="soft">Nothing is selected</span>
        )}
        {!selected.everything && (isPageSelected || keys.length === 0) && rows.length > 0 && (
          <button type="button" className="button quiet small" onClick={() => onSelect({ keys: {}, everything: true })}>
            Select {everythingInWords}
          </button>
        )}
        {!isNobody && (
          <button
            type="button"
            className="button quiet small"
            onClick={() => onSelect({ keys: {}, everything: false })}
          >
            Clear
          </button>
        )}
      </div>
      <div className="actions">
        <QueueChoice queues={queues} value={queue} onChange={setQueue} />
        <button
          type="button"
          className="button primary"
          disabled={isNobody || keys.length > MOST_KEYS || queue === '' || sync.isPending}
          onClick={() => (selected.everything ? setAsking(true) : start({ keys }))}
        >
          <Icon name="sync" size={16} />
          Synchronize selected
        </button>
      </div>
      {keys.length > MOST_KEYS && (
        <p className="soft">
          More than {formatCount(MOST_KEYS)} rows cannot be sent one by one: narrow the rows by a filter and select
          everything that matches.
        </p>
      )}
      <ConfirmDialog
        open={isAsking}
        title={everyone === null ? 'Synchronize everything that matches?' : `Synchronize ${plural(everyone, 'row')}?`}
        confirm="Synchronize"
        isBusy={sync.isPending}
        onConfirm={() => start({ query: matching })}
        onClose={() => setAsking(false)}
      >
        <p>
          The present state of {isNarrowed ? 'every row that matches' : `every row of ${master.cqrsId}`} is sent{' '}
          {queue ? <>to the queue {queue} alone</> : 'to all replicas'}, in pages, behind what waits in the outbox. It
          can be cancelled at any time; what was sent stays sent.
        </p>
        {isNarrowed && (
          <ul className="bullets">
            {matching.search && <li>search: {matching.search}</li>}
            {matching.filters?.map((filter) => (
              <li key={JSON.stringify(filter)}>{conditionInWords(filter)}</li>
            ))}
          </ul>
        )}
      </ConfirmDialog>
    </div>
  );
}
