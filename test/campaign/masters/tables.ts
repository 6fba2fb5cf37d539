import type { Tuple } from './decoding.ts';

/**
 * What the oracle knows of each master's table. Written down by hand, from what the documentation promises of the
 * entities in `entities.ts`: nothing here asks the library or MikroORM.
 */
export interface TableFacts {
  readonly name: string;
  /** The id under which a row travels. */
  cqrsIdOf(row: Tuple): string;
  readonly key: readonly string[];
  /** For each id: column → name on the wire. */
  readonly travels: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Columns whose former values travel. */
  readonly tracked: readonly string[];
  /** Whether a row is replicated. */
  isReplicated(row: Tuple): boolean;
}

/** Columns that are called on the wire as in the database. */
const same = (...columns: string[]): Record<string, string> =>
  Object.fromEntries(columns.map((column) => [column, column]));

function facts(
  cqrsId: string,
  key: readonly string[],
  columns: Readonly<Record<string, string>>,
  more: Partial<TableFacts> = {},
): TableFacts {
  return {
    name: `c_${cqrsId}`,
    cqrsIdOf: () => cqrsId,
    key,
    travels: { [cqrsId]: columns },
    tracked: [],
    isReplicated: () => true,
    ...more,
  };
}

const ANIMAL = same('id', 'kind', 'name', 'v', 'note');

export const TABLES: readonly TableFacts[] = [
  facts('org', ['code'], { ...same('code', 'name', 'rank', 'note'), head_id: 'head' }, { tracked: ['name', 'rank'] }),
  facts('person', ['id'], {
    ...same('id', 'email', 'name', 'tenant', 'home_street', 'home_city', 'preferences', 'note'),
    org_code: 'org',
    manager_id: 'manager',
  }),
  facts('badge', ['id'], { ...same('id', 'label', 'note'), person_id: 'person' }),
  facts(
    'item',
    ['org_code', 'n'],
    { ...same('n', 'slot', 'v', 'hidden', 'note'), org_code: 'org' },
    { tracked: ['v', 'slot'], isReplicated: ({ hidden }) => hidden!.text === 'false' },
  ),
  facts('doc', ['id'], same('id', 'title', 'data', 'amount', 'at', 'bin', 'tags', 'f', 'note'), {
    tracked: ['data', 'at', 'amount'],
  }),
  facts('animal', ['id'], ANIMAL, {
    cqrsIdOf: ({ kind }) => (kind!.text === 'dog' ? 'dog' : 'animal'),
    travels: { animal: { ...ANIMAL, lives: 'lives' }, dog: { ...ANIMAL, barks: 'barks' } },
    tracked: ['name'],
  }),
  facts('day', ['day'], same('day', 'load', 'open', 'note'), {
    tracked: ['load'],
    isReplicated: ({ open }) => open!.text === 'true',
  }),
  facts('node', ['id'], {
    ...same('id', 'label', 'v', 'note'),
    parent_id: 'parent',
    twin_id: 'twin',
  }),
  facts('stat', ['id'], same('id', 'count', 'note')),
  facts('loose', ['id'], same('id', 'v', 'note')),
];

export const byName: ReadonlyMap<string, TableFacts> = new Map(TABLES.map((table) => [table.name, table]));
export const CQRS_IDS: readonly string[] = TABLES.flatMap(({ travels }) => Object.keys(travels));
