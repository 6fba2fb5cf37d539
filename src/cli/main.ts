#!/usr/bin/env node
import './supported-node.js';
import { VERSION } from '../kernel/version.js';
import { COMMANDS } from './commands.js';
import { run } from './run.js';

// Ended here and not by an empty event loop: whatever the user's configuration keeps open has been closed or never will.
process.exit(await run(COMMANDS, VERSION, process.argv.slice(2)));
