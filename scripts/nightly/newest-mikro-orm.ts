import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, CommandFailed } from '../support/command.ts';
import { root } from '../support/paths.ts';

interface Manifest {
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** The project with one version of MikroORM. */
export interface Project extends AsyncDisposable {
  readonly version: string;
  /** Whether it is the version that every other test uses; then `folder` is the project itself. */
  readonly pinned: boolean;
  readonly folder: string;
}

const MAJOR = 7;
const QUIET = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];

/**
 * The project with the newest MikroORM 7.x whose packages install together, in a folder of its own. They want each other
 * in exactly one version, and not every version of all of them is published.
 */
export async function withNewestMikroOrm(say: (line: string) => void): Promise<Project> {
  const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as Manifest;
  const pinned = manifest.devDependencies['@mikro-orm/core']!;
  for (const version of newestFirst(await published())) {
    if (version === pinned) break;
    const folder = copyOfProject();
    try {
      writeFileSync(join(folder, 'package.json'), `${JSON.stringify(withVersion(manifest, version), null, 2)}\n`);
      await capture(['npm', 'install', ...QUIET], { cwd: folder, label: `npm install with MikroORM ${version}` });
      say(`MikroORM ${version}: the newest ${MAJOR}.x that installs, in ${folder}`);
      return { version, pinned: false, folder, [Symbol.asyncDispose]: async () => remove(folder) };
    } catch (error) {
      remove(folder);
      if (!(error instanceof CommandFailed)) throw error;
      say(`MikroORM ${version} does not install: ${firstReason(error.output)}`);
    }
  }
  say(`MikroORM ${pinned}: the newest ${MAJOR}.x that installs is the one that every test uses`);
  return { version: pinned, pinned: true, folder: root, [Symbol.asyncDispose]: async () => {} };
}

async function published(): Promise<string[]> {
  const answer = JSON.parse(await capture(['npm', 'view', `@mikro-orm/core@${MAJOR}`, 'version', '--json'])) as unknown;
  return Array.isArray(answer) ? (answer as string[]) : [String(answer)];
}

/** Releases only, no release candidates. */
export function newestFirst(versions: readonly string[]): string[] {
  return versions
    .filter((version) => /^\d+\.\d+\.\d+$/.test(version))
    .toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }));
}

function withVersion<M extends Manifest>(manifest: M, version: string): M {
  const devDependencies = Object.fromEntries(
    Object.entries(manifest.devDependencies).map(([name, pinned]) => [
      name,
      name.startsWith('@mikro-orm/') ? version : pinned,
    ]),
  );
  return { ...manifest, devDependencies };
}

const NOT_COPIED = new Set(['node_modules', 'dist', '.cache', '.git']);

function copyOfProject(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cqrs-mikro-orm-'));
  cpSync(root, folder, {
    recursive: true,
    filter: (source) => !NOT_COPIED.has(source.slice(root.length + 1).split(/[\\/]/)[0]!),
  });
  return folder;
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

function firstReason(output: string): string {
  const line = output.split('\n').find((one) => /notarget|No matching version|ERESOLVE|peer/i.test(one));
  return (line ?? output.split('\n').at(-1) ?? '').replace(/^npm (?:ERR!|error) /, '').trim();
}
