import type { Packed } from './pack.ts';

const WANTED = [
  'package.json',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/admin-ui/index.html',
  'dist/admin-ui/licenses.md',
];
const ALLOWED = /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.+\.(js|d\.ts|html|css|svg|md))$/;

/** Nothing is missing, nothing is there that no user needs, and the command can be executed. */
export function contentProblems(files: Packed['files'], commands: readonly string[]): string[] {
  const paths = files.map(({ path }) => path);
  return [
    ...WANTED.filter((path) => !paths.includes(path)).map((path) => `${path} is not packed`),
    ...paths.filter((path) => !ALLOWED.test(path)).map((path) => `${path} should not be packed`),
    ...commands
      .filter((command) => !files.some(({ path, mode }) => path === command && (mode & 0o111) !== 0))
      .map((command) => `${command} is not executable`),
  ];
}
