import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { buildAdminUi, isAdminUiStale } from './admin-ui.ts';
import { CommandFailed, run } from './command.ts';
import { newestChange } from './freshness.ts';
import { cache, root } from './paths.ts';

/** Compiles beside dist and then swaps, so that a file removed from src leaves dist too, and a running test always finds one. */
export async function build(): Promise<{ problems: string | null }> {
  const out = `${cache}/build-${process.pid}`;
  const old = `${cache}/old-${process.pid}`;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const problems = await compile(out);
  await buildAdminUi(`${out}/admin-ui`);
  const command = `${out}/cli/main.js`;
  if (existsSync(command)) chmodSync(command, 0o755);
  const now = new Date();
  utimesSync(out, now, now);
  if (existsSync(`${root}/dist`)) renameSync(`${root}/dist`, old);
  renameSync(out, `${root}/dist`);
  rmSync(old, { recursive: true, force: true });
  return { problems };
}

/** Tests of the command, of the admin page and of the package run what users run: dist. */
export async function buildIfStale(): Promise<void> {
  const builtAt = existsSync(`${root}/dist`) ? statSync(`${root}/dist`).mtimeMs : 0;
  if (newestChange(`${root}/src`) <= builtAt && !isAdminUiStale()) return;
  const { problems } = await build();
  if (problems) console.log('build: the types have problems (npm run typecheck); going on');
}

async function compile(outDir: string): Promise<string | null> {
  const compiler = `${root}/node_modules/typescript/bin/tsc`;
  try {
    await run([process.execPath, compiler, '-p', 'tsconfig.build.json', '--outDir', outDir]);
    return null;
  } catch (error) {
    if (error instanceof CommandFailed) return error.output;
    throw error;
  }
}
