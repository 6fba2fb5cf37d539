import type { Verdict } from '../../../../src/admin/contract.ts';
import { Icon } from '../../parts/icons.tsx';

const WORDS = {
  healthy: ['good', 'All is well'],
  degraded: ['warn', 'Degraded'],
  dead: ['bad', 'Replication stands still'],
} as const;

/** Whether all is well, and if not, what is wrong and what to do. */
export function VerdictBanner({ verdict }: { readonly verdict: Verdict }) {
  const [tone, title] = WORDS[verdict.state];
  return (
    <section className={`notice ${tone} verdict`} aria-label="Verdict" data-state={verdict.state} aria-live="polite">
      <Icon name={tone} />
      <div>
        <p>
          <strong>{title}</strong>
        </p>
        {verdict.why.length > 0 && (
          <ul className="why">
            {verdict.why.map(({ where, text, cure }) => (
              <li key={`${where} ${text}`}>
                <span className="where">{where.replace('-', ' ')}</span> {text}
                {cure && <span className="soft"> {cure}</span>}
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}
