import * as z from 'zod';
import { settingsSchema } from '../../src/core/settings.ts';

interface Schema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** docs/settings.md, made from the schema that checks the settings: the two cannot differ. */
export function settingsPage(): string {
  const schema = z.toJSONSchema(settingsSchema, { io: 'input', unrepresentable: 'any' }) as Schema;
  const options = Object.entries(schema.properties ?? {});
  const plain = options.filter(([, option]) => !option.properties);
  const groups = options.filter(([, option]) => option.properties);
  return `${[
    '# Settings',
    '<!-- Made by `npm run docs:settings` from src/core/settings.ts: change it there. -->',
    'Handed to `new Cqrs({ … })`. Every option may be left out; an unknown or wrong one is refused at start, all in one error.',
    table(plain),
    ...groups.flatMap(([name, group]) => [
      `## ${name}`,
      `${group.description ?? ''} In code: \`${name}: { … }\`.`.trim(),
      table(Object.entries(group.properties ?? {})),
    ]),
  ].join('\n\n')}\n`;
}

function table(options: readonly (readonly [string, Schema])[]): string {
  const rows = options.map(
    ([name, option]) =>
      `| \`${name}\` | ${typeOf(option)} | ${defaultOf(option)} | ${cell(option.description ?? 'TODO: describe it')} |`,
  );
  return ['| option | value | default | what it does |', '|---|---|---|---|', ...rows].join('\n');
}

function typeOf({ anyOf, enum: words, type, minimum, maximum }: Schema): string {
  if (anyOf) return anyOf.map(typeOf).join(', ');
  if (words) return words.map((word) => `\`'${word}'\``).join(', ');
  if (type === undefined) return 'function';
  if (type === 'null') return '`null`';
  return [type === 'integer' ? 'whole number' : type, rangeOf(minimum, maximum)].filter(Boolean).join(' ');
}

function rangeOf(minimum?: number, maximum?: number): string {
  const from = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const to = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (from !== undefined && to !== undefined) return `${figure(from)} to ${figure(to)}`;
  return from !== undefined ? `≥ ${figure(from)}` : to !== undefined ? `≤ ${figure(to)}` : '';
}

function figure(value: number): string {
  return value.toLocaleString('en-GB');
}

function defaultOf(option: Schema): string {
  if (!('default' in option)) return '–';
  return `\`${typeof option.default === 'string' ? `'${option.default}'` : JSON.stringify(option.default)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
