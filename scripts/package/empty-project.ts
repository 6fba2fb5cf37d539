import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, CommandFailed, run } from '../support/command.ts';
import { root } from '../support/paths.ts';
import type { Manifest } from './imports.ts';

/** Beside the peers: an embedded database to run on, and what compiles the program. */
const TOOLS = ['@mikro-orm/pglite', '@electric-sql/pglite', 'typescript', '@types/node'];

export interface Tried {
  readonly types: readonly string[];
  readonly program: readonly string[];
  readonly command: readonly string[];
}

/** Installs the tarball where nothing else is, compiles and runs test/package/empty-project, and asks the command its version. */
export async function tryInEmptyProject(tarball: string, manifest: Manifest): Promise<Tried> {
  const folder = mkdtempSync(join(tmpdir(), 'cqrs-empty-project-'));
  const peers = Object.keys(manifest.peerDependencies).filter((name) => !manifest.peerDependenciesMeta[name]?.optional);
  const pinned = [...peers, ...TOOLS].map((name) => `${name}@${versionOf(name, manifest)}`);
  try {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
    for (const file of ['program.ts', 'tsconfig.json']) {
      copyFileSync(`${root}/test/package/empty-project/${file}`, join(folder, file));
    }
    const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--loglevel=error'];
    await run(['npm', 'install', ...quiet, tarball, ...pinned], {
      cwd: folder,
      label: 'npm install in an empty project',
    });
    return {
      types: await typeProblems(folder, manifest.name),
      program: await expecting('the replica has the row', [process.execPath, 'program.js'], folder),
      command: await expecting(manifest.version, [join(folder, 'node_modules/.bin/cqrs'), '--version'], folder),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function versionOf(name: string, { devDependencies }: Manifest): string {
  const version = devDependencies[name];
  if (!version) throw new Error(`${name} has no pinned version in devDependencies`);
  return version;
}

/** Without skipLibCheck, and then only what concerns us: types of other packages do have problems. */
async function typeProblems(folder: string, name: string): Promise<string[]> {
  try {
    await capture([process.execPath, 'node_modules/typescript/bin/tsc', '-p', '.', '--pretty', 'false'], {
      cwd: folder,
    });
    return [];
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return error.output
      .split('\n')
      .filter((line) => line.startsWith('program.ts') || line.startsWith(`node_modules/${name}/`));
  }
}

async function expecting(line: string, words: readonly string[], folder: string): Promise<string[]> {
  try {
    const printed = await capture(words, { cwd: folder, timeoutMs: 120_000 });
    return printed.trim() === line ? [] : [`printed '${printed.trim()}' instead of '${line}'`];
  } catch (error) {
    if (error instanceof CommandFailed) return [error.output.trim()];
    throw error;
  }
}
