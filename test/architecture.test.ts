import { describe, expect, test } from '@jest/globals';
import { importsOf, sourceFiles, withoutComments } from './support/source-files.js';

interface Rule {
  readonly mayImport: readonly string[];
  readonly because: string;
}

const FOUNDATION = ['kernel/errors.ts', 'wire', 'kernel', 'postgres'];
const MESSAGING = ['messaging/headers.ts', 'messaging/transport', 'messaging/outbox', 'messaging/inbox'];
const REPLICATION = ['replication/declare', 'replication/compare', 'replication/master', 'replication/replica'];

/** Who may import whom, by folder or file of src: the longest row that fits. Type-only imports count, too: they couple readers. */
const RULES: Readonly<Record<string, Rule>> = {
  'kernel/errors.ts': {
    mayImport: [],
    because: 'every part throws errors, the lowest included',
  },
  wire: {
    mayImport: ['kernel/errors.ts'],
    because: 'it is the format that others read, too; nothing of how we run belongs to it',
  },
  kernel: {
    mayImport: ['kernel/errors.ts', 'wire'],
    because: 'it is what all others stand on; knowing one of them would tie all to it',
  },
  postgres: {
    mayImport: ['kernel/errors.ts', 'kernel'],
    because: 'it brings any statement to PostgreSQL, whatever it is about',
  },
  'messaging/headers.ts': {
    mayImport: [],
    because: 'they are names alone, and every end of a broker knows them',
  },
  'messaging/transport': {
    mayImport: ['kernel/errors.ts', 'kernel', 'messaging/headers.ts'],
    because: 'it moves bodies; a broker can be replaced only while transports know no entities, outbox or inbox',
  },
  'messaging/outbox': {
    mayImport: [...FOUNDATION, 'messaging/headers.ts', 'messaging/transport'],
    because: 'it takes finished bodies to the broker; it must serve kinds of message that are no replication',
  },
  'messaging/inbox': {
    mayImport: [...FOUNDATION, 'messaging/headers.ts', 'messaging/transport'],
    because: 'it mirrors the outbox and hands batches to any handler, not to replicas alone',
  },
  brokers: {
    mayImport: ['kernel/errors.ts', 'kernel', 'messaging/headers.ts', 'messaging/transport'],
    because: 'a broker knows the contract that it fulfils, and nobody who uses it',
  },
  'replication/declare': {
    mayImport: ['kernel/errors.ts'],
    because: 'it is what masters and replicas declare alike, so it knows neither',
  },
  'replication/compare': {
    mayImport: FOUNDATION,
    because: 'it is what both ends of a comparison share; knowing one of them would make the two differ',
  },
  'replication/master': {
    mayImport: [...FOUNDATION, 'messaging/outbox', 'replication/declare', 'replication/compare'],
    because: 'no change may reach a broker except through the outbox',
  },
  'replication/replica': {
    mayImport: [...FOUNDATION, 'messaging/inbox', 'replication/declare', 'replication/compare'],
    because: 'replicas know no broker; all they get is batches',
  },
  observability: {
    mayImport: ['kernel/errors.ts', 'kernel'],
    because: 'it listens to the catalogue of events; parts that it reached into could not change without it',
  },
  activity: {
    mayImport: [...FOUNDATION, 'observability'],
    because: 'it counts what the events tell; parts that it asked could not run without it',
  },
  jobs: {
    mayImport: [],
    because: 'it keeps what was asked for; whoever runs the work knows it, and it knows nobody',
  },
  testing: {
    mayImport: ['kernel/errors.ts', 'kernel', 'messaging/headers.ts', 'messaging/transport'],
    because: 'it ships to authors of transports, who have neither masters nor replicas',
  },
  'own-tables.ts': {
    mayImport: ['messaging/outbox', 'replication/master', 'replication/replica', 'activity', 'jobs'],
    because: 'it lists the tables of all parts, for whoever makes or compares them; it uses none of them',
  },
  'cqrs.ts': {
    mayImport: [
      ...FOUNDATION,
      ...MESSAGING,
      'brokers',
      ...REPLICATION,
      'observability',
      'activity',
      'jobs',
      'own-tables.ts',
    ],
    because: 'it is the one place where the parts meet',
  },
  operations: {
    mayImport: [...FOUNDATION, ...MESSAGING, ...REPLICATION, 'observability', 'activity', 'cqrs.ts', 'own-tables.ts'],
    because: 'an operator works on a running Cqrs, which therefore cannot know its operators',
  },
  admin: {
    mayImport: [
      ...FOUNDATION,
      ...MESSAGING,
      ...REPLICATION,
      'observability',
      'activity',
      'jobs',
      'cqrs.ts',
      'operations',
    ],
    because: 'it serves a running Cqrs to people and scripts; nothing that runs without it may need it',
  },
  'index.ts': {
    mayImport: [
      ...FOUNDATION,
      ...MESSAGING,
      'brokers',
      ...REPLICATION,
      'observability',
      'activity',
      'cqrs.ts',
      'operations',
    ],
    because: 'it names the public API and holds nothing itself',
  },
  cli: {
    mayImport: [
      ...FOUNDATION,
      ...MESSAGING,
      ...REPLICATION,
      'observability',
      'activity',
      'cqrs.ts',
      'operations',
      'admin',
      'index.ts',
    ],
    because: 'a command is the outermost layer: it uses everything and nothing uses it',
  },
};

/** Packages that only some may import. Folders not listed for a package may not. */
const PACKAGES: readonly { readonly name: RegExp; readonly allowedIn: RegExp; readonly because: string }[] = [
  {
    name: /^(amqplib|amqp-connection-manager)(\/|$)/,
    allowedIn: /^brokers\/rabbitmq\//,
    because: 'only brokers/rabbitmq knows AMQP',
  },
  {
    name: /^(@mikro-orm\/|kysely)/,
    allowedIn: /^(?!kernel\/|wire\/|messaging\/(?!outbox\/)|brokers\/|observability\/|testing\/|admin\/contract)/,
    because: 'the vocabulary, the transports and the inbox work without an ORM, and browsers read the contract',
  },
  {
    name: /^prom-client(\/|$)/,
    allowedIn: /^observability\/(metrics|scrape)\.ts$/,
    because: 'it is optional: whatever else imported it would not start without it',
  },
  { name: /^pg$/, allowedIn: /^$/, because: 'the connection is the one that the user configured in MikroORM' },
];

/** The keys of django-cqrs's bodies; elsewhere they have camelCase names. (`cqrs_id` is a column of the outbox, too.) */
const WIRE_KEYS = /\b(instance_data|instance_pk|previous_data|signal_type|correlation_id)\b/;
/** It tells its readers under which key an answer travels. */
const TELLS = 'kernel/settings.ts';

/** The browser gets it too. */
const CONTRACT = /^admin\/contract(\.ts|\/)/;

const MOST_LINES = 400;

const files = sourceFiles();

describe('src', () => {
  test('every folder and file has a rule', () => {
    expect(files.map(({ path }) => path).filter((path) => ruleOf(path) === undefined)).toEqual([]);
  });

  test.each(Object.entries(RULES))('%s imports only what it may', (folder, { mayImport, because }) => {
    const offences = files
      .filter(({ path }) => ruleOf(path) === folder)
      .flatMap((file) => file.imports.map((one) => ({ from: file.path, to: one.file })))
      .filter(({ to }) => to !== null && ruleOf(to) !== folder && !mayImport.includes(ruleOf(to)!))
      .map(({ from, to }) => `${from} → ${to}: not allowed, because ${because}`);
    expect(offences).toEqual([]);
  });

  test.each(PACKAGES)('$name is imported only where it may be', ({ name, allowedIn, because }) => {
    const offences = files
      .filter(({ path }) => !allowedIn.test(path))
      .flatMap(({ path, imports }) => imports.filter(({ specifier }) => name.test(specifier)).map(() => path))
      .map((path) => `${path}: ${because}`);
    expect(offences).toEqual([]);
  });

  test('the contract of the admin page imports zod and itself, nothing else', () => {
    const offences = files
      .filter(({ path }) => CONTRACT.test(path))
      .flatMap(({ path, imports }) => imports.map((one) => ({ path, ...one })))
      .filter(({ specifier, file }) => specifier !== 'zod' && !CONTRACT.test(file ?? ''));
    expect(offences).toEqual([]);
  });

  test('has no import cycles, imports of types included', () => {
    const edges = files.map(({ path, imports }) => [path, imports.flatMap(({ file }) => file ?? [])] as const);
    expect(cyclesIn(new Map(edges))).toEqual([]);
  });

  test('the rules have no cycle either', () => {
    expect(cyclesIn(new Map(Object.entries(RULES).map(([key, { mayImport }]) => [key, mayImport])))).toEqual([]);
  });

  test('only wire knows the keys of the wire', () => {
    const offences = files
      .filter(({ path }) => !path.startsWith('wire/') && path !== TELLS)
      .flatMap(({ path, text }) => {
        const key = WIRE_KEYS.exec(withoutComments(text));
        return key ? [`${path}: ${key[0]}`] : [];
      });
    expect(offences).toEqual([]);
  });

  test(`no file is longer than ${MOST_LINES} lines`, () => {
    const long = files
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > MOST_LINES);
    expect(long).toEqual([]);
  });

  test('file names say a subject, in kebab-case', () => {
    const vague = /(^|[/-])(utils?|helpers?|common|misc|lib|types|shared|base|manager)([.-]|\/|$)/;
    const offences = files
      .map(({ path }) => path)
      .filter((path) => vague.test(path) || !/^[a-z0-9]+(-[a-z0-9]+)*(\/[a-z0-9]+(-[a-z0-9]+)*)*\.ts$/.test(path));
    expect(offences).toEqual([]);
  });
});

test('imports are read from every form they take', () => {
  const text = `
    import type { A } from './a.js'; // import './not.js'
    import {
      b,
    } from "../b.js";
    import 'side';
    export * from './c.js';
    const d = await import('./d.js');
    const e = 'https://not.a.comment'; /* import './neither.js' */
  `;
  expect(importsOf('outbox/x.ts', text)).toEqual([
    { specifier: './a.js', file: 'outbox/a.ts' },
    { specifier: '../b.js', file: 'b.ts' },
    { specifier: 'side', file: null },
    { specifier: './c.js', file: 'outbox/c.ts' },
    { specifier: './d.js', file: 'outbox/d.ts' },
  ]);
});

function ruleOf(path: string): string | undefined {
  return Object.keys(RULES)
    .filter((key) => path === key || path.startsWith(`${key}/`))
    .toSorted((a, b) => b.length - a.length)[0];
}

/** Each cycle once, as a path that ends where it began. */
function cyclesIn(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
    if (trail.includes(path) || finished.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
