import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { root } from '../support/source-files.js';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = <T>(file: string): T => JSON.parse(readFileSync(`${root}/${file}`, 'utf8')) as T;
const { packages } = read<{ packages: Readonly<Record<string, Locked>> }>('package-lock.json');
const manifest = read<{
  name: string;
  exports: Record<string, { types: string } | string>;
  peerDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}>('package.json');

test('the lock names no download addresses: it serves any registry', () => {
  expect(Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
});

test('the lock has the binaries of every platform, or npm ci would refuse it on the others', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`])
      .map((name) => `${path} → ${name}`),
  );
  expect(missing).toEqual([]);
});

test('development is pinned to one consistent set; peers are ranges that hold it', () => {
  const loose = Object.entries(manifest.devDependencies).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
  expect(loose).toEqual([]);
  expect(Object.keys(manifest.peerDependencies).filter((name) => !(name in manifest.devDependencies))).toEqual([]);
});

test('every entry point brings its types, and nothing else can be reached', () => {
  expect(Object.keys(manifest.exports)).toEqual([
    '.',
    './rabbitmq',
    './admin',
    './metrics',
    './testing',
    './package.json',
  ]);
  const entries = Object.values(manifest.exports).filter((entry) => typeof entry !== 'string');
  expect(entries.map(({ types }) => types.endsWith('.d.ts'))).toEqual([true, true, true, true, true]);
});

test('the compiler finds the same entry points in the sources', () => {
  const { compilerOptions } = read<{ compilerOptions: { paths: Record<string, string[]> } }>('tsconfig.json');
  const expected = Object.entries(manifest.exports).flatMap(([path, entry]) =>
    typeof entry === 'string'
      ? []
      : [[`${manifest.name}${path.slice(1)}`, [entry.types.replace('./dist/', './src/').replace(/\.d\.ts$/, '.ts')]]],
  );
  expect(compilerOptions.paths).toEqual(Object.fromEntries(expected));
});

test('nothing that runs with the package brings an install script', () => {
  const all = Object.entries(packages) as [
    string,
    Locked & { dev?: boolean; optional?: boolean; hasInstallScript?: boolean },
  ][];
  const runtime = all.filter(([path, { dev, optional }]) => path !== '' && !dev && !optional);
  expect(runtime.length).toBeGreaterThan(3);
  expect(runtime.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)).toEqual([]);
});
