import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { CommandFailed, run } from './command.ts';
import { cache, root } from './paths.ts';

/** Compiles beside dist and then swaps, so that a file removed from src leaves dist too, and a running test always finds one. */
export async function build(): Promise<{ problems: string | null }> {
  const out = `${cache}/build-${process.pid}`;
  const old = `${cache}/old-${process.pid}`;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const problems = await compile(out);
  const command = `${out}/cli/main.js`;
  if (existsSync(command)) chmodSync(command, 0o755);
  const now = new Date();
  utimesSync(out, now, now);
  if (existsSync(`${root}/dist`)) renameSync(`${root}/dist`, old);
  renameSync(out, `${root}/dist`);
  rmSync(old, { recursive: true, force: true });
  return { problems };
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
