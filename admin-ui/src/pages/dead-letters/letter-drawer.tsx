import { useQuery } from '@tanstack/react-query';
import type { LetterDetail } from '../../../../src/admin/contract.ts';
import { letterQuery } from '../../api/queries.ts';
import { useMayAct } from '../../api/use-service.ts';
import { keyLabel } from '../../format.ts';
import { Drawer } from '../../parts/drawer.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { LettersActions } from './letters-actions.tsx';

/** One dead letter: what went wrong, and its message with the field at fault marked. */
export function LetterDrawer({
  id,
  onClose,
  onStarted,
}: {
  readonly id: string;
  readonly onClose: () => void;
  readonly onStarted: (job: string) => void;
}) {
  const query = useQuery(letterQuery(id));
  const mayAct = useMayAct();
  const letter = query.data;
  return (
    <Drawer
      title={
        letter
          ? `${letter.cqrsId ?? 'Unknown entity'} ${letter.key === null ? '' : keyLabel(letter.key)}`
          : 'Dead letter'
      }
      subtitle={<code>{id}</code>}
      onClose={onClose}
    >
      {mayAct && <LettersActions what="this dead letter" count={1} selection={{ ids: [id] }} onStarted={onStarted} />}
      <QueryView query={query}>{(data) => <LetterView letter={data} />}</QueryView>
    </Drawer>
  );
}

function LetterView({ letter }: { readonly letter: LetterDetail }) {
  return (
    <>
      <section>
        <h2>What went wrong</h2>
        <p>{letter.error ?? letter.reason ?? 'Its sender does not say why.'}</p>
        <dl className="facts">
          {letter.reason && (
            <>
              <dt>rule</dt>
              <dd>{letter.reason}</dd>
            </>
          )}
          {letter.field && (
            <>
              <dt>field at fault</dt>
              <dd>
                <code>{letter.field}</code>
                {letter.fieldValue !== null && (
                  <>
                    {' '}
                    is <code className="offender">{letter.fieldValue}</code>
                  </>
                )}
              </dd>
            </>
          )}
          <dt>message</dt>
          <dd>{letter.signalType ?? 'unreadable'}</dd>
          <dt>attempts</dt>
          <dd className="number">{letter.retries + 1}</dd>
          <dt>since</dt>
          <dd>
            <TimeAgo iso={letter.since} />
          </dd>
        </dl>
      </section>
      <section>
        <h2>Message</h2>
        <pre className="code" tabIndex={0} aria-label="Message">
          <Body body={letter.body} field={letter.field} />
        </pre>
        {letter.hidden.length > 0 && <p className="soft">Is there, but is hidden here: {letter.hidden.join(', ')}</p>}
        {letter.unmapped.length > 0 && (
          <p className="soft">Is there, but this service does not map it: {letter.unmapped.join(', ')}</p>
        )}
      </section>
    </>
  );
}

/** The lines of the field at fault are marked. */
function Body({ body, field }: { readonly body: string; readonly field: string | null }) {
  if (field === null) return body;
  const start = `${JSON.stringify(field)}:`;
  let end = 0;
  return body.split(/(?=\n)/).map((line) => {
    end += line.length;
    return line.trimStart().startsWith(start) ? <mark key={end}>{line}</mark> : line;
  });
}
