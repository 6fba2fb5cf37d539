import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/[\\/]$/, '');

export interface Import {
  /** As written: './outbox.js', 'zod'. */
  readonly specifier: string;
  /** The file inside src it names, or null for a package. */
  readonly file: string | null;
}

export interface SourceFile {
  /** Inside src, with slashes: 'replication/master/announce/serializer.ts'. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** Every TypeScript file in src. */
export function sourceFiles(): readonly SourceFile[] {
  return readdirSync(`${root}/src`, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts'))
    .toSorted()
    .map((path) => {
      const text = readFileSync(`${root}/src/${path}`, 'utf8');
      return { path, text, imports: importsOf(path, text) };
    });
}

const IMPORT =
  /^\s*(?:import|export)\s+(?:type\s+)?(?:[^'";]*?\sfrom\s*)?['"](?<static>[^'"]+)['"]|\bimport\(\s*['"](?<dynamic>[^'"]+)['"]\s*\)/gm;

export function importsOf(path: string, text: string): Import[] {
  return [...withoutComments(text).matchAll(IMPORT)].map(({ groups }) => {
    const specifier = (groups!['static'] ?? groups!['dynamic'])!;
    return { specifier, file: resolve(path, specifier) };
  });
}

/** Comments out, strings kept: a `//` inside a string would otherwise swallow the rest of its line. */
export function withoutComments(text: string): string {
  return text.replace(/('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '$1');
}

function resolve(from: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts');
}
