import { builtinModules } from 'node:module';

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const IMPORT = new RegExp(
  [
    String.raw`^\s*(?:import|export)\b[^'"=();]*?\bfrom\s*['"](?<from>[^'"]+)['"]`,
    String.raw`^\s*import\s+['"](?<bare>[^'"]+)['"]`,
    String.raw`\bimport\(\s*['"](?<dynamic>[^'"]+)['"]\s*\)`,
  ].join('|'),
  'gm',
);

/** Packages that built code or its types import, but which a user who installs the package may not have. */
export function undeclaredImports(files: readonly { path: string; text: string }[], manifest: Manifest): string[] {
  const declared = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]);
  const found = files.flatMap(({ path, text }) =>
    [...withoutComments(text).matchAll(IMPORT)]
      .map(({ groups }) => packageOf((groups!['from'] ?? groups!['bare'] ?? groups!['dynamic'])!))
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
