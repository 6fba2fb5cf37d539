import * as z from 'zod';
import { settingsSchema } from '../../src/kernel/settings.ts';
import { rabbitMQOptionsSchema } from '../../src/brokers/rabbitmq/options.ts';

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

/** docs/settings.md, made from the schemas that check the settings: they cannot differ. */
export function settingsPage(): string {
  const options = optionsOf(settingsSchema);
  const plain = options.filter(([, option]) => !option.properties);
  const groups = options.filter(([, option]) => option.properties);
  return `${[
    '# Settings',
    '<!-- Made by `npm run docs:settings` from src/kernel/settings.ts and src/brokers/rabbitmq/options.ts: change it there. -->',
    'Handed to `new Cqrs({ … })`. Every option may be left out; an unknown or wrong one is refused at start, all in one error.',
    table(plain),
    ...groups.flatMap(([name, group]) => [
      `## ${name}`,
      `${group.description ?? ''} In code: \`${name}: { … }\`.`.trim(),
      table(Object.entries(group.properties ?? {})),
    ]),
    '## RabbitMQTransport',
    'Handed to `new RabbitMQTransport({ … })`, or as `transportOptions` to `new Cqrs({ … })`.',
    table(optionsOf(rabbitMQOptionsSchema)),
  ].join('\n\n')}\n`;
}

function optionsOf(schema: z.ZodType): [string, Schema][] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;
  return Object.entries(properties);
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
