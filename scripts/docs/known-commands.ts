import { readFileSync } from 'node:fs';
import { COMMANDS } from '../../src/cli/commands.ts';
import { root } from '../support/paths.ts';
import type { Known } from './commands.ts';

/** The scripts of package.json and the table of src/cli/commands.ts. */
export function knownCommands(): Known {
  const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { scripts: Record<string, string> };
  return {
    scripts: Object.keys(manifest.scripts),
    commands: new Map(
      COMMANDS.map(({ name, options }) => [name, [...Object.keys(options).map((option) => `--${option}`), '--help']]),
    ),
  };
}
