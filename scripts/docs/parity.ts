/** The two tables of docs/django-cqrs.md that say, behaviour by behaviour and name by name, where we stand. */
export const STATUSES = ['same', 'better', 'not applicable', 'open'] as const;
export type Status = (typeof STATUSES)[number];

export interface Evidence {
  /** From the project's root. */
  readonly file: string;
  readonly title: string;
}

export interface Row {
  readonly line: number;
  /** `B-7`, or the Python names of a row of the other table. */
  readonly name: string;
  readonly status: string;
  readonly words: string;
  readonly tests: readonly Evidence[];
}

export const BEHAVIOURS = 219;

/** Every public name of django-cqrs's API reference. */
export const PYTHON_NAMES: readonly string[] = [
  'RawMasterMixin MasterMixin CQRS_ID CQRS_PRODUCE CQRS_FIELDS CQRS_SERIALIZER CQRS_TRACKED_FIELDS',
  'cqrs_revision cqrs_updated bulk_create bulk_update call_post_bulk_create call_post_update',
  'cqrs_saves_count is_initial_cqrs_save reset_cqrs_saves_count to_cqrs_dict get_tracked_fields_data cqrs_sync',
  'is_sync_instance get_cqrs_meta get_custom_cqrs_delete_data relate_cqrs_serialization',
  'ReplicaMixin CQRS_MAPPING CQRS_CUSTOM_SERIALIZATION CQRS_SELECT_FOR_UPDATE CQRS_NO_DB_OPERATIONS CQRS_META',
  'CQRS_ONLY_DIRECT_SYNCS cqrs_save cqrs_create cqrs_update cqrs_delete should_retry_cqrs get_cqrs_retry_delay',
  'save_instance create_instance update_instance delete_instance post_bulk_create post_update MasterSignals',
  'BaseTransport produce consume clean_connection RabbitMQTransport KombuTransport SignalType',
  'TransportPayload from_message to_dict is_expired MasterRegistry ReplicaRegistry register_model',
  'get_model_by_cqrs_id CQRSAdminMasterSyncMixin sync_items _cqrs_sync_queryset CQRS',
].flatMap((names) => names.split(' '));

/** Rows of four columns: name, status, words, tests. */
export function parityRows(markdown: string): { behaviours: Row[]; names: Row[] } {
  const rows = markdown.split('\n').flatMap((text, index): Row[] => {
    const cells = cellsOf(text);
    if (cells?.length !== 4 || !(STATUSES as readonly string[]).includes(cells[1]!)) return [];
    const [name, status, words, tests] = cells as [string, string, string, string];
    return [{ line: index + 1, name, status, words, tests: testsIn(tests) }];
  });
  const isBehaviour = ({ name }: Row): boolean => /^B-\d+$/.test(name);
  return { behaviours: rows.filter(isBehaviour), names: rows.filter((row) => !isBehaviour(row)) };
}

/** What is missing, named twice, or claimed without a test that exists. `read` answers undefined for no such file. */
export function parityProblems(
  { behaviours, names }: ReturnType<typeof parityRows>,
  read: (file: string) => string | undefined,
): string[] {
  const problems: string[] = [];
  for (let number = 1; number <= BEHAVIOURS; number++) {
    const count = behaviours.filter(({ name }) => name === `B-${number}`).length;
    if (count !== 1) problems.push(`B-${number} is there ${count} times`);
  }
  for (const { name, line } of behaviours) {
    if (Number(name.slice(2)) > BEHAVIOURS) problems.push(`${name} (line ${line}): there is no such number`);
  }
  const named = new Set(names.flatMap(({ name }) => name.match(/\w+/g) ?? []));
  for (const name of PYTHON_NAMES) if (!named.has(name)) problems.push(`${name}: no row names it`);
  for (const row of [...behaviours, ...names]) {
    const where = `${row.name} (line ${row.line})`;
    if (row.words === '') problems.push(`${where}: says nothing`);
    const claims = row.status === 'same' || row.status === 'better';
    if (claims && row.tests.length === 0) problems.push(`${where}: '${row.status}' without a test`);
    for (const { file, title } of row.tests) {
      const text = read(file);
      if (text === undefined) problems.push(`${where}: there is no ${file}`);
      else if (!hasTitle(text, title)) problems.push(`${where}: ${file} has no test '${title}'`);
    }
  }
  return problems;
}

export function countByStatus(rows: readonly Row[]): string {
  return STATUSES.map((status) => `${rows.filter((row) => row.status === status).length} ${status}`).join(', ');
}

function cellsOf(line: string): string[] | undefined {
  if (!/^\|.*\|$/.test(line)) return undefined;
  const cells = line.slice(1, -1).split(/(?<!\\)\|/);
  return cells.map((cell) => cell.replaceAll('\\|', '|').trim());
}

// `parity/masters` › title of the test<br>`src/testing/x.ts` › another
function testsIn(cell: string): Evidence[] {
  return cell.split('<br>').flatMap((part) => {
    const found = /^\s*`([^`]+)` › (.+?)\s*$/.exec(part);
    if (!found) return [];
    const [, short, title] = found as unknown as [string, string, string];
    return [{ file: short.endsWith('.ts') ? short : `test/${short}.test.ts`, title }];
  });
}

function hasTitle(text: string, title: string): boolean {
  const source = text.replaceAll("\\'", "'");
  return ["'", '"', '`'].some((quote) => source.includes(`${quote}${title}${quote}`));
}
