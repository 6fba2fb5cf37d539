import { describe, expect, test } from '@jest/globals';
import { importsOf, sourceFiles, withoutComments, type SourceFile } from './support/source-files.js';

interface Rule {
  readonly mayImport: readonly string[];
  readonly because: string;
}

/** Who may import whom, by folder or file of src; type-only imports count too, for they couple readers. */
const RULES: Readonly<Record<string, Rule>> = {
  core: {
    mayImport: [],
    because: 'it is the vocabulary that all others share; knowing one of them would tie all to it',
  },
  transport: {
    mayImport: ['core'],
    because: 'it moves bodies; a broker can be replaced only while transports know no entities, outbox or inbox',
  },
  observability: {
    mayImport: ['core'],
    because: 'it listens to the catalogue of events; parts that it reached into could not change without it',
  },
  activity: {
    mayImport: ['core', 'observability'],
    because: 'it counts what the events tell; parts that it asked could not run without it',
  },
  compare: {
    mayImport: ['core'],
    because: 'it is what both ends of a comparison share; knowing one of them would make the two differ',
  },
  outbox: {
    mayImport: ['core', 'transport'],
    because: 'it takes finished bodies to the broker; it must serve kinds of message that are no replication',
  },
  inbox: {
    mayImport: ['core', 'transport'],
    because: 'it mirrors the outbox and hands batches to any handler, not to replicas alone',
  },
  testing: {
    mayImport: ['core', 'transport'],
    because: 'it ships to authors of transports, who have neither masters nor replicas',
  },
  master: {
    mayImport: ['core', 'compare', 'outbox'],
    because: 'no change may reach a broker except through the outbox',
  },
  replica: {
    mayImport: ['core', 'compare', 'inbox'],
    because: 'replicas know no broker; all they get is batches',
  },
  'cqrs.ts': {
    mayImport: [
      'core',
      'master',
      'outbox',
      'transport',
      'inbox',
      'replica',
      'observability',
      'activity',
      'jobs',
      'own-tables.ts',
    ],
    because: 'it is the one place where the parts meet',
  },
  'own-tables.ts': {
    mayImport: ['master', 'outbox', 'replica', 'activity', 'jobs'],
    because: 'it lists the tables of all parts, for whoever makes or compares them; it uses none of them',
  },
  maintenance: {
    mayImport: [
      'core',
      'compare',
      'master',
      'outbox',
      'transport',
      'inbox',
      'replica',
      'observability',
      'activity',
      'cqrs.ts',
      'own-tables.ts',
    ],
    because: 'an operator works on a running Cqrs, which therefore cannot know its operators',
  },
  jobs: {
    mayImport: ['core'],
    because: 'it keeps what was asked for; whoever runs the work knows it, and it knows nobody',
  },
  admin: {
    mayImport: [
      'core',
      'compare',
      'jobs',
      'master',
      'outbox',
      'transport',
      'inbox',
      'replica',
      'observability',
      'activity',
      'cqrs.ts',
      'maintenance',
    ],
    because: 'it serves a running Cqrs to people and scripts; nothing that runs without it may need it',
  },
  cli: {
    mayImport: [
      'core',
      'master',
      'outbox',
      'transport',
      'inbox',
      'replica',
      'observability',
      'activity',
      'cqrs.ts',
      'maintenance',
      'admin',
      'index.ts',
    ],
    because: 'a command is the outermost layer: it uses everything and nothing uses it',
  },
  'index.ts': {
    mayImport: [
      'core',
      'master',
      'outbox',
      'transport',
      'inbox',
      'replica',
      'observability',
      'activity',
      'cqrs.ts',
      'maintenance',
    ],
    because: 'it names the public API and holds nothing itself',
  },
};

/** Packages that only some may import. Folders not listed for a package may not. */
const PACKAGES: readonly { readonly name: RegExp; readonly allowedIn: RegExp; readonly because: string }[] = [
  {
    name: /^(amqplib|amqp-connection-manager)(\/|$)/,
    allowedIn: /^transport\/rabbitmq\//,
    because: 'only transport/rabbitmq knows AMQP',
  },
  {
    name: /^(@mikro-orm\/|kysely)/,
    allowedIn: /^(?!core\/|transport\/|observability\/|inbox\/|testing\/|admin\/contract)/,
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

/** The browser gets it too. */
const CONTRACT = /^admin\/contract(\.ts|\/)/;

const MOST_LINES = 400;

const files = sourceFiles();

describe('src', () => {
  test('every folder and file has a rule', () => {
    const unknown = [...new Set(files.map(({ folder }) => folder))].filter((folder) => !(folder in RULES));
    expect(unknown).toEqual([]);
  });

  test.each(Object.entries(RULES))('%s imports only what it may', (folder, { mayImport, because }) => {
    const offences = files
      .filter((file) => file.folder === folder)
      .flatMap((file) => file.imports.map((one) => ({ from: file.path, to: one.file })))
      .filter(({ to }) => to !== null && topOf(to) !== folder && !mayImport.includes(topOf(to)))
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

  test('has no import cycles', () => {
    expect(cyclesIn(files)).toEqual([]);
  });

  test('only core knows the keys of the wire', () => {
    const offences = files
      .filter(({ folder }) => folder !== 'core')
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
  expect(importsOf('master/x.ts', text)).toEqual([
    { specifier: './a.js', file: 'master/a.ts', typeOnly: true },
    { specifier: '../b.js', file: 'b.ts', typeOnly: false },
    { specifier: 'side', file: null, typeOnly: false },
    { specifier: './c.js', file: 'master/c.ts', typeOnly: false },
    { specifier: './d.js', file: 'master/d.ts', typeOnly: false },
  ]);
});

function topOf(path: string): string {
  return path.split('/')[0]!;
}

/** Each cycle once, as a path that ends where it began; what the compiler erases is no part of one. */
function cyclesIn(sources: readonly SourceFile[]): string[] {
  const edges = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ file, typeOnly }) => (file === null || typeOnly ? [] : [file])),
    ]),
  );
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
