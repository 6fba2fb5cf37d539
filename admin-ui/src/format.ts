/** Numbers and times in words, the same everywhere. English like the page, whatever the browser speaks. */

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const formatCount = (count: number): string => whole.format(count);

/** 12,345 up to there, then 1.2M. */
export const formatShort = (count: number): string => (count < 100_000 ? whole.format(count) : short.format(count));

/** `rows(1)` → '1 row'. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`;

export function formatRate(perSecond: number): string {
  if (perSecond === 0) return '0/s';
  if (perSecond < 0.1) return '<0.1/s';
  return `${perSecond < 10 ? perSecond.toFixed(1) : formatShort(Math.round(perSecond))}/s`;
}

export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export const formatTime = (iso: string): string => clock.format(new Date(iso));

export function formatAgo(iso: string, now: number): string {
  const ms = now - Date.parse(iso);
  if (Number.isNaN(ms)) return iso;
  return ms < 2_000 ? 'just now' : `${formatDuration(ms)} ago`;
}

/** The text of a row's key as people write it: the parts of a composite one side by side. */
export function keyLabel(key: string): string {
  if (!key.startsWith('[')) return key;
  try {
    const parts: unknown = JSON.parse(key);
    return Array.isArray(parts) ? parts.join(' · ') : key;
  } catch {
    return key;
  }
}
