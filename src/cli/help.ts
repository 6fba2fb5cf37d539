import type { Option, Options } from './arguments.js';
import type { Command } from './command.js';

const HELP: Options = { help: { type: 'boolean', short: 'h', help: 'Show this help.' } };

/** What `cqrs --help` prints. */
export function overview(commands: readonly Command[]): string {
  return [
    'Usage: cqrs <command> [options]',
    '',
    'Commands:',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    'cqrs <command> --help shows the options and examples of a command.',
    "It finds your service's mikro-orm.config as the mikro-orm command does, and the Cqrs among its extensions.",
  ].join('\n');
}

/** What `cqrs <command> --help` prints. */
export function manual({ name, summary, details = [], options, examples }: Command): string {
  return [
    `Usage: cqrs ${name} [options]`,
    '',
    summary,
    ...(details.length > 0 ? ['', ...details] : []),
    '',
    'Options:',
    ...columns(Object.entries({ ...options, ...HELP }).map(([key, option]) => [flag(key, option), option.help])),
    '',
    'Examples:',
    ...examples.flatMap(({ line, does }) => [`  ${line}`, `      ${does}`]),
  ].join('\n');
}

function flag(name: string, { short, value }: Option): string {
  return `${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`;
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
