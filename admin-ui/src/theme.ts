import { useSyncExternalStore } from 'react';

/** `system` follows the machine. The choice is kept by the browser. */
export type Theme = 'system' | 'light' | 'dark';

const KEY = 'cqrs-admin-theme';
const listeners = new Set<() => void>();

export function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  document.documentElement.dataset['theme'] = theme;
  for (const listener of listeners) listener();
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, readTheme);
}

/** Whether dark colours are shown, whoever chose them. */
export function useIsDark(): boolean {
  return useSyncExternalStore(subscribe, () => {
    const theme = readTheme();
    return theme === 'dark' || (theme === 'system' && systemIsDark.matches);
  });
}

const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  systemIsDark.addEventListener('change', listener);
  return () => {
    listeners.delete(listener);
    systemIsDark.removeEventListener('change', listener);
  };
}
