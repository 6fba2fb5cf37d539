import { copyFileSync, rmSync } from 'node:fs';
import { run } from '../../scripts/support/command.ts';
import { cache, root } from '../../scripts/support/paths.ts';

/**
 * To JavaScript, once a run: processes are started by the hundred, and a loader of TypeScript takes longer than they.
 * @param project a tsconfig.json that names the program
 * @returns the folder that stands for the root of the project
 */
export async function compile(project: string): Promise<string> {
  const out = `${cache}/compiled-${process.pid}`;
  process.once('exit', () => rmSync(out, { recursive: true, force: true }));
  const compiler = `${root}/node_modules/typescript/bin/tsc`;
  await run([process.execPath, compiler, '-p', project, '--outDir', out]);
  copyFileSync(`${root}/package.json`, `${out}/package.json`); // the version
  return out;
}
