import { existsSync, readdirSync, statSync } from 'node:fs';
import { build } from './build.ts';
import { root } from './paths.ts';

/** Tests of the command and of the package run what users run: dist. */
export async function buildIfStale(): Promise<void> {
  const builtAt = existsSync(`${root}/dist`) ? statSync(`${root}/dist`).mtimeMs : 0;
  if (newestChange(`${root}/src`) <= builtAt) return;
  const { problems } = await build();
  if (problems) console.log('build: the types have problems (npm run typecheck); going on');
}

function newestChange(folder: string): number {
  const times = readdirSync(folder, { recursive: true, withFileTypes: true }).map(
    (entry) => statSync(`${entry.parentPath}/${entry.name}`).mtimeMs,
  );
  return Math.max(...times, 0);
}
