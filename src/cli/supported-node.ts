import { nodeProblem } from '../kernel/node-version.js';

/** The first import of the command: one line, and no other module's complaint. */

const problem = nodeProblem();
if (problem !== undefined) {
  console.error(`cqrs: ${problem}`);
  process.exit(2);
}
