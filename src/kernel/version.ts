import { readFileSync } from 'node:fs';

/** The version of this package; `src` and `dist` lie equally deep in it. */
export const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
