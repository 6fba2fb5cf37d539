#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { COMMANDS } from './commands.js';
import { run } from './run.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

// Ended here and not by an empty event loop: whatever the user's configuration keeps open has been closed or never will.
process.exit(await run(COMMANDS, version, process.argv.slice(2)));
