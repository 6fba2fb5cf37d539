import type { Fact } from '../../../src/admin/contract.ts';
import { Icon } from './icons.tsx';

const WORDS = { good: 'well', bad: 'trouble', unknown: 'not known', note: 'note' } as const;

/** Station by station, what is known of a row on its way. */
export function FactList({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <ol className="fact-list">
      {facts.map(({ state, where, text, cure }) => (
        <li key={`${where} ${text}`} data-state={state}>
          <Icon name={state} size={18} />
          <div>
            <span className="where">{where.replace('-', ' ')}</span>{' '}
            <span className="visually-hidden">({WORDS[state]})</span>
            <p>{text}</p>
            {cure && <p className="soft">{cure}</p>}
          </div>
        </li>
      ))}
    </ol>
  );
}
