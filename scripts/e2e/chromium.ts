import { capture, CommandFailed, run, succeeds } from '../support/command.ts';

/** Chromium and its relatives, as they are called on the PATH. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** There is no browser to test with; the text says what was looked for. */
export class ChromiumMissing extends Error {
  override readonly name = 'ChromiumMissing';
}

/**
 * The command of a Chromium: `CQRS_TEST_CHROMIUM`, else one on the PATH, else (on Debian or Ubuntu, as root) the package
 * `chromium`, installed. @throws ChromiumMissing
 */
export async function chromium(say: (line: string) => void): Promise<string> {
  const given = process.env['CQRS_TEST_CHROMIUM'];
  if (given) return found(given, await versionOf(given), say);
  for (const name of NAMES) {
    const version = await versionOf(name);
    if (version) return found(await pathOf(name), version, say);
  }
  await install(say);
  return found(await pathOf('chromium'), await versionOf('chromium'), say);
}

function found(command: string, version: string | null, say: (line: string) => void): string {
  if (!version) {
    throw new ChromiumMissing(`${command} does not run. Set CQRS_TEST_CHROMIUM to the path of a Chromium or Chrome.`);
  }
  say(`browser: ${version}`);
  return command;
}

async function install(say: (line: string) => void): Promise<void> {
  const possible = process.platform === 'linux' && process.getuid?.() === 0 && succeeds(['apt-get', '--version']);
  if (!possible) {
    throw new ChromiumMissing(
      `No Chromium (looked for ${NAMES.join(', ')}). Install one (on Debian the package chromium), or set ` +
        'CQRS_TEST_CHROMIUM to the path of a Chromium or Chrome.',
    );
  }
  say('installing the Debian package chromium');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run(['apt-get', 'update', '-qq'], { env });
  await run(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'], { env });
}

async function versionOf(command: string): Promise<string | null> {
  try {
    return (await capture([command, '--version'])).trim();
  } catch (error) {
    if (error instanceof CommandFailed || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Playwright wants a path. */
const pathOf = async (name: string): Promise<string> => (await capture(['sh', '-c', `command -v ${name}`])).trim();
