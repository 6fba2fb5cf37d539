import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { capture, CommandFailed } from '../support/command.ts';
import { cache, root } from '../support/paths.ts';
import type { Page } from './markdown.ts';

/**
 * The language of snippets:
 *
 *   ```ts            a module of its own; it must compile
 *   ```ts continues  belongs to the module of the snippet before it
 *   ```ts run        is also run and must end well
 *
 * A first line `// src/account.ts` names the module, so that others of the page can import it. A module that imports
 * legacy decorators is compiled as such. Nothing else is TypeScript: use ```text for pseudo code.
 */
export interface Module {
  /** Inside the folder of its page. */
  readonly file: string;
  readonly page: string;
  readonly run: boolean;
  readonly legacy: boolean;
  /** Blank lines in front, so that the compiler's line numbers are those of the page. */
  readonly text: string;
}

export function modulesOf(page: Page): Module[] {
  const modules: Module[] = [];
  for (const { language, flags, text, line } of page.fences) {
    if (language !== 'ts' && language !== 'typescript') continue;
    const last = modules.at(-1);
    const padded = (before: string): string =>
      before + '\n'.repeat(Math.max(0, line - 1 - count(before))) + text + '\n';
    if (flags.includes('continues') && last) {
      modules[modules.length - 1] = merged(last, padded(last.text), flags);
    } else {
      const name = /^\/\/ (\S+\.ts)\s*$/.exec(text.split('\n', 1)[0]!)?.[1];
      modules.push({
        file: name ?? `line-${line}.ts`,
        page: page.path,
        run: flags.includes('run'),
        legacy: isLegacy(text),
        text: padded(''),
      });
    }
  }
  return modules;
}

function merged(module: Module, text: string, flags: readonly string[]): Module {
  return { ...module, text, run: module.run || flags.includes('run'), legacy: isLegacy(text) };
}

function isLegacy(text: string): boolean {
  return text.includes('@mikro-orm/decorators/legacy');
}

function count(text: string): number {
  return text.split('\n').length - 1;
}

const folder = `${cache}/snippets`;

/** Problems, each with page and line. */
export async function checkSnippets(
  pages: readonly Page[],
): Promise<{ problems: string[]; compiled: number; ran: number }> {
  const modules = pages.flatMap(modulesOf);
  rmSync(folder, { recursive: true, force: true });
  for (const module of modules) write(module);
  const problems = [...(await compile(modules, false)), ...(await compile(modules, true))];
  const runnable = modules.filter(({ run }) => run);
  for (const module of runnable) problems.push(...(await execute(module)));
  return { problems, compiled: modules.length, ran: runnable.length };
}

function pathOf(module: Module): string {
  return `${folder}/${module.legacy ? 'legacy' : 'es'}/${module.page.replaceAll(/[/.]/g, '_')}/${module.file}`;
}

function write(module: Module): void {
  const path = pathOf(module);
  mkdirSync(dirname(path), { recursive: true });
  // without an import or export a file would be no module, and its names would meet those of the others
  writeFileSync(path, `${module.text}export {};\n`);
}

async function compile(modules: readonly Module[], legacy: boolean): Promise<string[]> {
  const mine = modules.filter((module) => module.legacy === legacy);
  if (mine.length === 0) return [];
  const config = `${folder}/tsconfig.${legacy ? 'legacy' : 'es'}.json`;
  const base = `${root}/${legacy ? 'tsconfig.legacy.json' : 'tsconfig.json'}`;
  writeFileSync(config, JSON.stringify({ extends: base, include: [legacy ? 'legacy' : 'es'], exclude: [] }));
  try {
    await capture([process.execPath, `${root}/node_modules/typescript/bin/tsc`, '-p', config, '--pretty', 'false']);
    return [];
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return problemsIn(error.output, mine);
  }
}

/**
 * `….cache/snippets/es/README_md/line-12.ts(14,3): error …` → `README.md:14: error …`. What the compiler finds in src is
 * left to `npm run typecheck`.
 */
function problemsIn(output: string, modules: readonly Module[]): string[] {
  const problems: string[] = [];
  let isOurs = true;
  for (const line of output.trim().split('\n')) {
    const [, path, number, message] = /^(\S.*?)\((\d+),\d+\): (.*)$/.exec(line) ?? [];
    const module = path && modules.find((one) => pathOf(one).endsWith(path.replace(/^.*\.cache\/snippets\//, '/')));
    if (module) problems.push(`${module.page}:${number}: ${message}`);
    else if (path === undefined && isOurs) problems.push(line);
    isOurs = path === undefined ? isOurs : Boolean(module);
  }
  return problems;
}

async function execute(module: Module): Promise<string[]> {
  try {
    await capture(['tsx', pathOf(module)], { env: { NODE_OPTIONS: '--disable-warning=ExperimentalWarning' } });
    return [];
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return [`${module.page} (${module.file}) fails when run:\n${error.output.trim()}`];
  }
}
