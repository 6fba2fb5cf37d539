import { root } from './paths.ts';

/** ES modules in Jest need a flag of Node; given here instead of in NODE_OPTIONS, programs that tests start do not get it. */
export function jestCommand(args: readonly string[]): readonly string[] {
  return [
    process.execPath,
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    `${root}/node_modules/jest/bin/jest.js`,
    ...args,
  ];
}
