import { globSync, readFileSync } from 'node:fs';
import { contentProblems } from './package/contents.ts';
import { tryInEmptyProject } from './package/empty-project.ts';
import { undeclaredImports, type Manifest } from './package/imports.ts';
import { pack } from './package/pack.ts';
import { build } from './support/build.ts';
import { capture, CommandFailed } from './support/command.ts';
import { report } from './support/report.ts';
import { root } from './support/paths.ts';

const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as Manifest;
const { problems } = await build();
report('build', problems ? [problems.trim()] : []);
if (problems) process.exit();

const { tarball, files } = await pack();
const bytes = files.reduce((sum, { size }) => sum + size, 0);

const commands = Object.values(manifest.bin).map((path) => path.replace(/^\.\//, ''));
report(`${files.length} files, ${Math.round(bytes / 1024)} kB`, contentProblems(files, commands));

const built = globSync('dist/**/*.{js,d.ts}', { cwd: root, exclude: ['dist/admin-ui/**'] }).map((path) => ({
  path,
  text: readFileSync(`${root}/${path}`, 'utf8'),
}));
report('imports are dependencies', undeclaredImports(built, manifest));
report('publint', await complaintsOf(['publint', 'run', tarball, '--strict']));
report(
  'are the types wrong?',
  await complaintsOf(['attw', tarball, '--profile', 'esm-only', '--no-color', '--no-emoji']),
);

const tried = await tryInEmptyProject(tarball, manifest);
report('an empty project compiles with it', tried.types);
report('an empty project runs with it', tried.program);
report('cqrs --version', tried.command);

async function complaintsOf(words: readonly string[]): Promise<string[]> {
  try {
    await capture(words);
    return [];
  } catch (error) {
    if (error instanceof CommandFailed) return [error.output.trim()];
    throw error;
  }
}
