import { snakeCase } from '../../replication/replica/definition/replica-columns.js';
import { NESTED_ARRAY } from './declared-column.js';
import type { DescribedEntity, DescribedProperty, Options, Replicated } from './describe-entities.js';

/** Described entities → the module that declares them, with ES decorators. */

const WIDTH = 120;
const DECORATORS = '@mikro-orm/decorators/es';

const NESTED_ARRAY_CLASS = `/** An array of arrays: the driver reads it, and this writes it. */
class NestedArray extends Type<unknown[] | null, string | null> {
  override convertToDatabaseValue(value: unknown[] | null): string | null {
    return value && write(value);
  }
}

function write(value: unknown): string {
  if (Array.isArray(value)) return \`{\${value.map(write).join(',')}}\`;
  return value === null ? 'NULL' : \`"\${String(value).replace(/["\\\\]/g, '\\\\$&')}"\`;
}
`;

/** One module with all of them. The classes may refer to each other in any order. */
export function entitySource(entities: readonly DescribedEntity[]): string {
  const bodies = entities.map((entity) => classSource(entity));
  const used = (name: string): boolean => bodies.some((body) => new RegExp(`@${name}\\(`).test(body));
  const decorators = ['Check', 'Entity', 'Index', 'ManyToOne', 'PrimaryKey', 'Property', 'Unique'].filter(used);
  const mentioned = (name: string): boolean => bodies.some((body) => new RegExp(`\\b${name}\\b`).test(body));
  const ours = [
    ...(mentioned('FieldsOf') ? ['type FieldsOf'] : []),
    ...['MasterEntity', 'ReplicaEntity'].filter((name) => bodies.some((body) => body.includes(` extends ${name} `))),
  ];
  const nested = mentioned(`type: ${NESTED_ARRAY.identifier}`);
  const core = [...['Opt', 'PrimaryKeyProp'].filter(mentioned), ...(nested ? ['Type'] : [])];
  return [
    ...(core.length > 0
      ? [`import { ${core.map((name) => (name === 'Opt' ? 'type Opt' : name)).join(', ')} } from '@mikro-orm/core';`]
      : []),
    `import { ${decorators.join(', ')} } from '${DECORATORS}';`,
    ...(ours.length > 0 ? [`import { ${ours.join(', ')} } from 'mikro-orm-cqrs';`] : []),
    '',
    ...(nested ? [NESTED_ARRAY_CLASS] : []),
    bodies.join('\n'),
  ].join('\n');
}

function baseOf(role: 'master' | 'replica'): string {
  return role === 'master' ? 'MasterEntity' : 'ReplicaEntity';
}

function classSource({ className, replicated, options, decorators, properties, table }: DescribedEntity): string {
  const base = replicated ? ` extends ${baseOf(replicated.role)}` : '';
  const keys = properties.filter(
    ({ decorator: kind, options: { primary } }) => kind === 'PrimaryKey' || primary === true,
  );
  return [
    decorator('Entity', options),
    ...decorators.map(({ name, options: own }) => decorator(name, own)),
    `export class ${className}${base} {`,
    ...(replicated ? [...statics(replicated, className, properties), ''] : []),
    ...(table.key.length > 1
      ? [`  [PrimaryKeyProp]?: [${keys.map(({ name }) => literal(name)).join(', ')}];`, '']
      : []),
    properties.map((property) => propertySource(property)).join('\n\n'),
    '}',
    '',
  ].join('\n');
}

/** What is replicated: everything, unless a column has a type that no message can have. */
function statics({ role, cqrsId }: Replicated, className: string, properties: readonly DescribedProperty[]): string[] {
  const id = `  static override CQRS_ID = ${literal(cqrsId)};`;
  if (properties.every(({ travels }) => travels)) return [id];
  const names = properties
    .filter(({ travels, computed }) => travels && (role === 'master' || !computed))
    .map(({ name }) => name);
  const lines =
    role === 'master'
      ? [
          '  static override CQRS_FIELDS = [',
          names.map((name) => literal(name)),
          `  ] as const satisfies FieldsOf<${className}>;`,
        ]
      : [
          '  static override CQRS_MAPPING = {',
          names.map((name) => `${snakeCase(name)}: ${literal(name)}`),
          '  } as const;',
        ];
  return [id, ...lines.flatMap((line) => (typeof line === 'string' ? line : line.map((one) => `    ${one},`)))];
}

function propertySource({
  name,
  decorator: kind,
  target,
  options,
  type,
  nullable,
  optional,
}: DescribedProperty): string {
  const first = target === undefined ? '' : `() => ${target}`;
  const shown = nullable && type !== 'unknown' ? `${type} | null` : type;
  const line = nullable
    ? `  ${name}?: ${shown};`
    : `  ${name}!: ${optional && type !== 'unknown' ? `Opt<${shown}>` : shown};`;
  return `${decorator(kind, options, first, '  ')}\n${line}`;
}

function decorator(name: string, options: Options, first = '', indent = ''): string {
  const entries = Object.entries(options).map(([key, value]) => `${key}: ${literal(value)}`);
  const before = [`${indent}@${name}(`, first].join('');
  const comma = first === '' ? '' : ', ';
  const line = entries.length === 0 ? `${before})` : `${before}${comma}{ ${entries.join(', ')} })`;
  if (line.length <= WIDTH || entries.length === 0) return line;
  return [`${before}${comma}{`, ...entries.map((entry) => `${indent}  ${entry},`), `${indent}})`].join('\n');
}

/** In single quotes, as the rest of the module. */
function literal(value: Options[string]): string {
  if (typeof value === 'string') {
    const inside = JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
    return `'${inside}'`;
  }
  if (typeof value === 'object' && 'identifier' in value) return value.identifier;
  return typeof value === 'object' ? `[${value.map((one) => literal(one)).join(', ')}]` : String(value);
}
