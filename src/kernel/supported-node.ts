import { nodeProblem } from './node-version.js';

/** The first import of every entry point: with an older Node others would fail, each with words of its own. */

const problem = nodeProblem();
if (problem !== undefined) throw new Error(problem);
