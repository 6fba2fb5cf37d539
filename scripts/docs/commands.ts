import type { Page } from './markdown.ts';

/** What a reader may type: the scripts of package.json, and the commands of `cqrs` with their options. */
export interface Known {
  readonly scripts: readonly string[];
  /** Long options by command. */
  readonly commands: ReadonlyMap<string, readonly string[]>;
}

/** Commands in ```sh blocks, and `npm …` or `cqrs …` in them, that do not exist. ```sh no-run blocks are for other places. */
export function unknownCommands(pages: readonly Page[], known: Known): string[] {
  return pages.flatMap((page) =>
    page.fences
      .filter(({ language, flags }) => ['sh', 'bash', 'shell'].includes(language) && !flags.includes('no-run'))
      .flatMap(({ text, line }) =>
        commandsIn(text).flatMap(({ words, offset }) => {
          const problem = problemOf(words, known);
          return problem ? [`${page.path}:${line + offset}: ${problem}`] : [];
        }),
      ),
  );
}

interface Command {
  readonly words: readonly string[];
  readonly offset: number;
}

/** Simple commands of a script: comments, prompts, variables and pipes taken away. */
export function commandsIn(script: string): Command[] {
  return script
    .replace(/\\\n/g, '  ')
    .split('\n')
    .flatMap((text, offset) =>
      text
        .replace(/^\s*\$ /, '')
        .replace(/(^|\s)#.*$/, '')
        .split(/&&|\|\|?|;/)
        .map((part) => part.trim().split(/\s+/).filter(Boolean))
        .map((words) => ({ words: withoutVariables(words), offset }))
        .filter(({ words }) => words.length > 0),
    );
}

function withoutVariables(words: readonly string[]): readonly string[] {
  const first = words.findIndex((word) => !/^[A-Z_][A-Z0-9_]*=/.test(word));
  return first === -1 ? [] : words.slice(first);
}

function problemOf(words: readonly string[], { scripts, commands }: Known): string | null {
  const [program, ...args] = words;
  if (program === 'npm' && args[0] === 'run') return scriptProblem(args[1], scripts);
  if (program === 'npm' && args[0] === 'test') return scriptProblem('test', scripts);
  const cqrs = program === 'npx' && args[0] === 'cqrs' ? args.slice(1) : program === 'cqrs' ? args : null;
  return cqrs && cqrsProblem(cqrs, commands);
}

function scriptProblem(name: string | undefined, scripts: readonly string[]): string | null {
  return name !== undefined && scripts.includes(name) ? null : `package.json has no script '${name}'`;
}

function cqrsProblem([name, ...args]: readonly string[], commands: Known['commands']): string | null {
  if (name === undefined || name.startsWith('-') || name === 'help') return null;
  const options = commands.get(`${name} ${args[0]}`) ?? commands.get(name);
  if (!options) return `there is no command 'cqrs ${name}'`;
  const given = args.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!);
  const unknown = given.find((option) => !options.includes(option));
  return unknown ? `'cqrs ${name}' has no option ${unknown}` : null;
}
