import { cpSync, existsSync, statSync } from 'node:fs';
import { newestChange } from './freshness.ts';
import { run } from './command.ts';
import { root } from './paths.ts';

const built = `${root}/dist/admin-ui`;

/** Whether the admin page in dist is older than what it is made from. */
export function isAdminUiStale(): boolean {
  if (!existsSync(`${built}/index.html`)) return true;
  const since = statSync(`${built}/index.html`).mtimeMs;
  return Math.max(newestChange(`${root}/admin-ui`), statSync(`${root}/package-lock.json`).mtimeMs) > since;
}

/** Bundles the admin page into a folder, or takes it over from dist while nothing has changed. */
export async function buildAdminUi(outDir: string): Promise<void> {
  if (!isAdminUiStale()) return cpSync(built, outDir, { recursive: true, preserveTimestamps: true });
  const vite = `${root}/node_modules/vite/bin/vite.js`;
  await run([process.execPath, vite, 'build', 'admin-ui', '--outDir', outDir, '--emptyOutDir', '--logLevel', 'error'], {
    label: 'vite build admin-ui',
  });
}
