import { describeError } from '../kernel/describe-error.js';
import { CqrsError } from '../kernel/errors.js';
import { parseOptions, UsageError } from './arguments.js';
import { Exit, type Command } from './command.js';
import { manual, overview } from './help.js';
import { BrokenPipeError } from './output.js';
import { CutShortError, StoppedError } from './shutdown.js';

/** What the user has to correct before it can work; trying again does not help. */
const SETUP_CODES = new Set(['configuration', 'unknown-cqrs-id']);

/** Obeys one command line and answers with the exit code; never throws. */
export async function run(commands: readonly Command[], version: string, argv: readonly string[]): Promise<number> {
  const [name, ...args] = argv;
  try {
    if (name === undefined) {
      console.error(overview(commands));
      return Exit.setup;
    }
    if (name === '--help' || name === '-h' || (name === 'help' && args.length === 0)) return print(overview(commands));
    if (name === '--version' || name === '-V') return print(version);
    const words = name === 'help' ? args : argv;
    const command = commands.find((one) => isNamed(one, words));
    if (!command) return group(commands, words, name === 'help');
    const rest = words.slice(command.name.split(' ').length);
    if (name === 'help' || rest.includes('--help') || rest.includes('-h')) return print(manual(command));
    return await obey(command, rest);
  } catch (error) {
    const { text, code } = explain(error);
    console.error(`cqrs: ${text}`);
    return code;
  }
}

/** Whether a command line begins with the name of the command, which may have several words. */
function isNamed({ name }: Command, words: readonly string[]): boolean {
  return name.split(' ').every((word, index) => word === words[index]);
}

/** `cqrs dead-letters` and its `--help`: the commands whose names begin so. */
function group(commands: readonly Command[], [name, second]: readonly string[], asked: boolean): number {
  const members = commands.filter((one) => one.name.startsWith(`${name} `));
  if (members.length > 0 && (asked || second === '--help' || second === '-h')) return print(overview(members));
  const wanted = members.length > 0 && second !== undefined ? `${name} ${second}` : name;
  const known = (members.length > 0 ? members : commands).map((one) => one.name);
  throw new UsageError(`Unknown command '${wanted}'. There are ${known.join(', ')}.`);
}

async function obey(command: Command, args: readonly string[]): Promise<number> {
  let values;
  try {
    values = parseOptions(command.options, args);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${error.message} See: cqrs ${command.name} --help`);
    throw error;
  }
  return command.run(values);
}

function explain(error: unknown): { text: string; code: number } {
  if (error instanceof UsageError) return { text: error.message, code: Exit.setup };
  if (error instanceof CutShortError) {
    const { text, code } = explain(error.cause);
    return { text: `${text.replace(/\.$/, '')}. ${error.done}`, code };
  }
  // By its code, too: the user's configuration may bring another copy of this package.
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  if (typeof code === 'string' && SETUP_CODES.has(code))
    return { text: withoutList((error as Error).message), code: Exit.setup };
  // Its cure is that of a service that runs on; a command ends.
  if (code === 'transport') return { text: (error as Error).message.replace(CURE_OF_SERVICES, ''), code: Exit.failed };
  if (error instanceof CqrsError || error instanceof BrokenPipeError || error instanceof StoppedError)
    return { text: error.message, code: Exit.failed };
  return { text: describeError(error), code: Exit.failed };
}

const CURE_OF_SERVICES = / It is tried again by itself\.$/;

/** One problem needs no list. */
function withoutList(message: string): string {
  return message.replace(/ 1 problem\.\n {2}- (?=[^\n]*$)/, ' ');
}

function print(text: string): number {
  console.log(text);
  return Exit.done;
}
