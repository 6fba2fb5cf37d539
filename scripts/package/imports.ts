import { builtinModules } from 'node:module';

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const IMPORT =
  /(?:^|[\s;])(?:import|export)\b[^'"()]*?(?:from\s*)?['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Packages that built code or its types import, but which a user who installs the package may not have. */
export function undeclaredImports(files: readonly { path: string; text: string }[], manifest: Manifest): string[] {
  const declared = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]);
  const found = files.flatMap(({ path, text }) =>
    [...withoutComments(text).matchAll(IMPORT)]
      .map(([, fixed, dynamic]) => packageOf((fixed ?? dynamic)!))
      .filter((name) => name !== null && !declared.has(name))
      .map((name) => `${path} imports ${name}, which is no dependency`),
  );
  return [...new Set(found)];
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

function packageOf(specifier: string): string | null {
  if (specifier.startsWith('.') || specifier.startsWith('node:') || builtinModules.includes(specifier)) return null;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]!;
}
