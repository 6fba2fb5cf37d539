import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { nodeProblem } from '../../src/kernel/node-version.js';

/** Every way into the package, with a Node that is too old: one clear line. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
  bin: Record<string, string>;
  exports: Record<string, string | { default: string }>;
  engines: { node: string };
};
const needed = manifest.engines.node.replace('>=', '');
const sourceOf = (built: string): string => built.replace('/dist/', '/src/').replace(/\.js$/, '.ts');
const entries = Object.values(manifest.exports).flatMap((entry) =>
  typeof entry === 'string' ? [] : [sourceOf(entry.default)],
);

const OLD = '20.19.4';
const says = `mikro-orm-cqrs needs Node ${needed} or later, and this is Node ${OLD}.`;

/** The version alone is another one: no machine has all of them. */
function withOldNode(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '${OLD}' })`;
  const preload = ['--import', 'tsx', '--import', `data:text/javascript,${encodeURIComponent(pretend)}`];
  return spawnSync(process.execPath, [...preload, ...args], { cwd: root, encoding: 'utf8' });
}

test.each(entries)('%s is not loaded', (entry) => {
  const load = `import(${JSON.stringify(entry)}).catch((error) => console.log(error.message))`;
  expect(withOldNode('-e', load).stdout).toBe(`${says}\n`);
});

test.each(Object.entries(manifest.bin))('the command %s ends with one line', (_, path) => {
  const { status, stdout, stderr } = withOldNode(sourceOf(`./${path.replace(/^\.\//, '')}`), 'status');
  expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: '', stderr: `cqrs: ${says}\n` });
});

test.each([
  [needed, true],
  ['22.17.1', true],
  ['22.16.9', false],
  ['21.99.0', false],
  ['23.0.0', true],
  ['24.21.0-nightly2026', true],
])('Node %s is new enough: %p', (version, isEnough) => {
  expect(nodeProblem(version) === undefined).toBe(isEnough);
});
