import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { capture, CommandFailed, run } from '../support/command.ts';
import { cache, root } from '../support/paths.ts';

/** Virtual environments that have django-cqrs; each made once, and anew when its requirements or Python change. */

export interface Environment {
  /** Its folder in the cache. */
  readonly name: string;
  /** Path of its requirements.txt. */
  readonly requirements: string;
}

const interop: Environment = { name: 'interop-venv', requirements: `${root}/test/interop/django/requirements.txt` };
/** Where the packages' wheels are made for; `CQRS_TEST_PYTHON` names one that is called otherwise. */
const NAMES = ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python'];

/** There is no Python that can do it; the text says what was looked for. */
export class PythonMissing extends Error {
  override readonly name = 'PythonMissing';
}

/** The interpreter of the environment that the interoperation is tested with. @throws PythonMissing */
export function interopPython(say: (line: string) => void): Promise<string> {
  return pythonOf(interop, say);
}

/** The path of the interpreter inside. @throws PythonMissing */
export async function pythonOf({ name, requirements }: Environment, say: (line: string) => void): Promise<string> {
  const folder = `${cache}/${name}`;
  const stamp = `${folder}/made-from`;
  const { command, version } = await findPython();
  const python = process.platform === 'win32' ? `${folder}/Scripts/python.exe` : `${folder}/bin/python`;
  const wanted = createHash('sha256')
    .update(`${command} ${version}\n`)
    .update(readFileSync(requirements))
    .digest('hex');
  if (existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python;

  say(`python: installing django-cqrs and what it needs for Python ${version} (${name})`);
  rmSync(folder, { recursive: true, force: true });
  await run([command, '-m', 'venv', folder]);
  await run([python, '-m', 'pip', 'install', '--disable-pip-version-check', '--quiet', '--requirement', requirements]);
  writeFileSync(stamp, wanted);
  return python;
}

/** The first Python that is new enough and can make environments. */
async function findPython(): Promise<{ command: string; version: string }> {
  const given = process.env['CQRS_TEST_PYTHON'];
  const seen: string[] = [];
  for (const command of given ? [given] : NAMES) {
    const found = await ask(command);
    if (typeof found !== 'string') return { command, version: found.version };
    seen.push(`${command}: ${found}`);
  }
  throw new PythonMissing(
    `No Python ≥ 3.10 with venv and pip (${seen.join(' · ')}). Install one (on Debian python3-venv), ` +
      'or set CQRS_TEST_PYTHON to its path.',
  );
}

/** Its version, or why it will not do. */
async function ask(command: string): Promise<{ version: string } | string> {
  const question = 'import sys, venv, ensurepip; print("%d.%d.%d" % sys.version_info[:3])';
  try {
    const version = (await capture([command, '-c', question])).trim();
    const [major = 0, minor = 0] = version.split('.').map(Number);
    return major > 3 || (major === 3 && minor >= 10) ? { version } : `is ${version}`;
  } catch (error) {
    if (error instanceof CommandFailed)
      return error.output.includes('No module named') ? 'has no venv or pip' : 'fails';
    return 'not found';
  }
}
