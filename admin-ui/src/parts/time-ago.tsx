import { useSyncExternalStore } from 'react';
import { formatAgo, formatTime } from '../format.ts';

/** One clock for the whole page, which stands still while nobody looks. */
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

export function TimeAgo({ iso }: { readonly iso: string | null }) {
  const current = useNow();
  if (iso === null) return <span className="null">never</span>;
  return (
    <time dateTime={iso} title={formatTime(iso)}>
      {formatAgo(iso, current)}
    </time>
  );
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(tick, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function tick(): void {
  if (document.hidden) return;
  now = Date.now();
  for (const listener of listeners) listener();
}
