import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { differences, normalise } from './examples/compare.ts';
import { capture, CommandFailed } from './support/command.ts';
import { root } from './support/paths.ts';

/**
 * Runs every examples/<name>/main.ts and compares what it prints with examples/<name>/expected.txt.
 * `npm run test:examples -- [name…]` runs some; with `--write` the present output becomes the expected one.
 */
const words = process.argv.slice(2);
const isWriting = words.includes('--write');
const chosen = words.filter((word) => !word.startsWith('--'));

const examples = globSync('examples/*/main.ts', { cwd: root })
  .map((path) => basename(dirname(path)))
  .filter((name) => chosen.length === 0 || chosen.includes(name))
  .toSorted();

if (examples.length === 0) {
  console.error(chosen.length > 0 ? `There is no example ${chosen.join(', ')}.` : 'There are no examples.');
  process.exitCode = 1;
}

for (const name of examples) {
  const started = performance.now();
  const problem = await problemOf(name);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${problem === null ? '✓' : '✗'} ${name} (${seconds} s)`);
  if (problem === null) continue;
  console.log(`  ${problem.replaceAll('\n', '\n  ')}`);
  process.exitCode = 1;
}

async function problemOf(name: string): Promise<string | null> {
  const file = `${root}/examples/${name}/expected.txt`;
  let printed: string;
  try {
    printed = normalise(await capture(['tsx', `examples/${name}/main.ts`], { timeoutMs: 120_000 }));
  } catch (error) {
    if (error instanceof CommandFailed) return error.message;
    throw error;
  }
  if (isWriting) writeFileSync(file, printed);
  if (!existsSync(file)) return `has no expected.txt: npm run test:examples -- ${name} --write`;
  const found = differences(readFileSync(file, 'utf8'), printed);
  return found.length === 0 ? null : `printed something else than expected.txt says:\n${found.join('\n')}`;
}
