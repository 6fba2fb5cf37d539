import { useQuery } from '@tanstack/react-query';
import type { Letter, LetterGroup } from '../../../../src/admin/contract.ts';
import { lettersQuery } from '../../api/queries.ts';
import { useMayAct } from '../../api/use-service.ts';
import { formatCount, keyLabel, plural } from '../../format.ts';
import { PageButtons } from '../../parts/page-buttons.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { useSelection } from '../../parts/use-selection.ts';
import { LettersActions } from './letters-actions.tsx';

const PAGE = 50;

/** Dead letters of one entity with one error; opened, each of them. */
export function GroupCard({
  group,
  isOpen,
  offset,
  onToggle,
  onPage,
  onLetter,
  onStarted,
}: {
  readonly group: LetterGroup;
  readonly isOpen: boolean;
  readonly offset: number;
  readonly onToggle: () => void;
  readonly onPage: (offset: number) => void;
  readonly onLetter: (id: string) => void;
  readonly onStarted: (job: string) => void;
}) {
  const mayAct = useMayAct();
  return (
    <section className="panel group" aria-label={`Dead letters of ${group.cqrsId ?? 'no known entity'}`}>
      <header>
        <div className="group-what">
          <h2>
            {group.cqrsId ?? 'unknown entity'} <span className="badge bad number">{formatCount(group.count)}</span>
          </h2>
          <p className="group-error">{group.error ?? group.reason ?? 'Its sender does not say why.'}</p>
          <p className="soft group-facts">
            {group.reason && <span>{group.reason}</span>}
            {group.field && (
              <span>
                field <code>{group.field}</code>
              </span>
            )}
            <span>
              oldest <TimeAgo iso={group.oldest} />
            </span>
            {group.count > 1 && (
              <span>
                newest <TimeAgo iso={group.newest} />
              </span>
            )}
            <span>{plural(group.mostRetries + 1, 'attempt')}</span>
          </p>
        </div>
        <div className="actions">
          <button type="button" className="button small" aria-expanded={isOpen} onClick={onToggle}>
            {isOpen ? 'Hide letters' : 'Show letters'}
          </button>
          {mayAct && (
            <LettersActions
              what={`${plural(group.count, 'dead letter')} of ${group.cqrsId ?? 'this group'}`}
              count={group.count}
              selection={{ group: group.id }}
              onStarted={onStarted}
            />
          )}
        </div>
      </header>
      {isOpen && <Letters group={group.id} offset={offset} onPage={onPage} onLetter={onLetter} onStarted={onStarted} />}
    </section>
  );
}

function Letters({
  group,
  offset,
  onPage,
  onLetter,
  onStarted,
}: {
  readonly group: string;
  readonly offset: number;
  readonly onPage: (offset: number) => void;
  readonly onLetter: (id: string) => void;
  readonly onStarted: (job: string) => void;
}) {
  const mayAct = useMayAct();
  const query = useQuery(lettersQuery(group, offset));
  const { selected, toggle, select } = useSelection();
  return (
    <QueryView query={query}>
      {({ letters, total }) => {
        const chosen = letters.filter(({ id }) => selected.has(id));
        return (
          <>
            {mayAct && chosen.length > 0 && (
              <div className="sync-bar">
                <strong>{plural(chosen.length, 'letter')} selected</strong>
                <LettersActions
                  what={plural(chosen.length, 'selected dead letter')}
                  suffix=" selected"
                  count={chosen.length}
                  selection={{ ids: chosen.map(({ id }) => id) }}
                  onStarted={onStarted}
                />
              </div>
            )}
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Dead letters">
              <table className="table">
                <thead>
                  <tr>
                    {mayAct && (
                      <th scope="col" className="check">
                        <input
                          type="checkbox"
                          aria-label="Select this page"
                          checked={chosen.length === letters.length && letters.length > 0}
                          onChange={({ target }) => select(target.checked ? letters.map(({ id }) => id) : [])}
                        />
                      </th>
                    )}
                    <th scope="col">Row</th>
                    <th scope="col">Message</th>
                    <th scope="col">Field at fault</th>
                    <th scope="col" className="right">
                      Attempts
                    </th>
                    <th scope="col">Since</th>
                  </tr>
                </thead>
                <tbody>
                  {letters.map((letter) => (
                    <LetterRow
                      key={letter.id}
                      letter={letter}
                      isSelected={selected.has(letter.id)}
                      onToggle={mayAct ? () => toggle(letter.id) : null}
                      onOpen={() => onLetter(letter.id)}
                    />
                  ))}
                </tbody>
              </table>
            </div>
            {total > PAGE && (
              <footer className="pager">
                <span className="soft number">
                  {formatCount(offset + 1)} to {formatCount(offset + letters.length)} of {formatCount(total)}
                </span>
                <div className="actions">
                  <PageButtons
                    onPrevious={offset === 0 ? null : () => onPage(Math.max(0, offset - PAGE))}
                    onNext={offset + letters.length >= total ? null : () => onPage(offset + PAGE)}
                  />
                </div>
              </footer>
            )}
          </>
        );
      }}
    </QueryView>
  );
}

function LetterRow({
  letter,
  isSelected,
  onToggle,
  onOpen,
}: {
  readonly letter: Letter;
  readonly isSelected: boolean;
  readonly onToggle: (() => void) | null;
  readonly onOpen: () => void;
}) {
  const name = letter.key === null ? letter.id : keyLabel(letter.key);
  return (
    <tr aria-selected={onToggle ? isSelected : undefined}>
      {onToggle && (
        <td className="check">
          <input
            type="checkbox"
            aria-label={`Select the letter about ${name}`}
            checked={isSelected}
            onChange={onToggle}
          />
        </td>
      )}
      <td>
        <button type="button" className="link" title="Look at this letter" onClick={onOpen}>
          {name}
        </button>
      </td>
      <td>{letter.signalType ?? <span className="null">unreadable</span>}</td>
      <td>{letter.field ? <code>{letter.field}</code> : <span className="null">not known</span>}</td>
      <td className="right">{letter.retries + 1}</td>
      <td>
        <TimeAgo iso={letter.since} />
      </td>
    </tr>
  );
}
