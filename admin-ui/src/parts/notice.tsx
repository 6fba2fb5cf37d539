import type { ReactNode } from 'react';
import { failureOf } from '../api/client.ts';
import { Icon } from './icons.tsx';

type Tone = 'note' | 'good' | 'warn' | 'bad';

/** Something to know, with what to do about it. */
export function Notice({
  tone = 'note',
  title,
  children,
  action,
}: {
  readonly tone?: Tone;
  readonly title: ReactNode;
  readonly children?: ReactNode;
  readonly action?: ReactNode;
}) {
  return (
    <div className={`notice ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      <Icon name={tone} />
      <div>
        <p>
          <strong>{title}</strong>
        </p>
        {children && <p>{children}</p>}
      </div>
      {action}
    </div>
  );
}

/** An error of a request: what happened and what to do. */
export function Failure({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }) {
  const { message, cure } = failureOf(error);
  return (
    <Notice
      tone="bad"
      title={message}
      action={
        onRetry && (
          <button type="button" className="button small" onClick={onRetry}>
            Try again
          </button>
        )
      }
    >
      {cure}
    </Notice>
  );
}

/** There is nothing here, and what would bring something. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}
