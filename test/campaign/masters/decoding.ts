import type pg from 'pg';

/**
 * What PostgreSQL itself committed, from a logical decoding slot with `test_decoding`: transaction by transaction, in the
 * order of their COMMITs. What was rolled back, savepoints among it, is not in it. With REPLICA IDENTITY FULL each change
 * has the whole row before it.
 */

export interface Value {
  /** As PostgreSQL names it: `character varying`, `text[]`. */
  readonly type: string;
  readonly text: string | null;
}
/** A row by its columns. */
export type Tuple = Readonly<Record<string, Value>>;

export interface Change {
  readonly table: string;
  readonly before?: Tuple;
  readonly after?: Tuple;
}

export interface Committed {
  readonly xid: string;
  /** When it was committed, in milliseconds since 1970. */
  readonly at: number;
  readonly changes: readonly Change[];
}

const SLOT = 'campaign';

export class DecodedTransactions {
  readonly #lines: DecodedLines;

  private constructor(
    private readonly client: pg.Client,
    tables: readonly string[],
  ) {
    this.#lines = new DecodedLines(new Set(tables));
  }

  /** Everything that is committed from now on. The client is to serve nobody else. */
  static async begin(client: pg.Client, tables: readonly string[]): Promise<DecodedTransactions> {
    await client.query(
      "set datestyle = 'ISO'; set timezone = 'UTC'; set intervalstyle = 'postgres'; set extra_float_digits = 1; set bytea_output = 'hex'",
    );
    await client.query('select pg_create_logical_replication_slot($1, $2)', [SLOT, 'test_decoding']);
    return new DecodedTransactions(client, tables);
  }

  /** What was committed since the last time; complete for every COMMIT that was answered before the call. */
  async take(): Promise<Committed[]> {
    const { rows } = await this.client.query<{ data: string }>(
      "select data from pg_logical_slot_get_changes($1, null, null, 'skip-empty-xacts', '1', 'include-timestamp', '1')",
      [SLOT],
    );
    return this.#lines.read(rows.map(({ data }) => data));
  }
}

/** Lines of test_decoding → transactions. One that is not complete waits for its rest. */
export class DecodedLines {
  #open: { xid: string; changes: Change[] } | undefined;

  constructor(private readonly tables: ReadonlySet<string>) {}

  read(lines: readonly string[]): Committed[] {
    const done: Committed[] = [];
    for (const line of lines) {
      if (line.startsWith('BEGIN ')) this.#open = { xid: line.slice(6), changes: [] };
      else if (line.startsWith('COMMIT ')) {
        const [, at] = /\(at (.*)\)/.exec(line)!;
        if (this.#open!.changes.length > 0)
          done.push({ ...this.#open!, at: Date.parse(`${at!.replace(' ', 'T')}:00`) });
        this.#open = undefined;
      } else {
        const change = parseChange(line, this.tables);
        if (change) this.#open!.changes.push(change);
      }
    }
    return done;
  }
}

const HEAD = /^table public\.(\w+): (INSERT|UPDATE|DELETE|TRUNCATE): ?/;

/** One line of test_decoding; undefined for a table that nobody asked about. */
function parseChange(line: string, tables: ReadonlySet<string>): Change | undefined {
  const head = HEAD.exec(line);
  if (!head || !tables.has(head[1]!)) return undefined;
  const [all, table, action] = head as unknown as [string, string, string];
  const rest = new Reader(line, all.length);
  if (action === 'INSERT') return { table, after: rest.tuple() };
  if (action === 'DELETE') return { table, before: rest.tuple() };
  if (action === 'TRUNCATE') throw new Error(`${table} was truncated, which this campaign does not do`);
  rest.expect('old-key: ');
  const before = rest.tuple();
  rest.expect('new-tuple: ');
  const after = { ...rest.tuple() };
  for (const [column, value] of Object.entries(after)) {
    // stored out of line, and not written anew
    if (value.text === UNCHANGED) after[column] = before[column]!;
    // of the row before, columns that are null are left out
    before[column] ??= { type: value.type, text: null };
  }
  return { table, before, after };
}

const UNCHANGED = '\u0000unchanged';

/** Reads `name[type]:value …`, where values are bare or in quotes that are doubled inside. */
class Reader {
  constructor(
    private readonly line: string,
    private at: number,
  ) {}

  expect(word: string): void {
    if (!this.line.startsWith(word, this.at)) throw new Error(`test_decoding wrote something else than '${word}'`);
    this.at += word.length;
  }

  tuple(): Record<string, Value> {
    const tuple: Record<string, Value> = {};
    while (this.at < this.line.length && !this.line.startsWith('new-tuple: ', this.at)) {
      const bracket = this.line.indexOf('[', this.at);
      const name = this.line.slice(this.at, bracket).replaceAll('"', '');
      const colon = this.line.indexOf(']:', bracket);
      const type = this.line.slice(bracket + 1, colon);
      this.at = colon + 2;
      tuple[name] = { type, text: this.#value() };
      if (this.line[this.at] === ' ') this.at++;
    }
    return tuple;
  }

  #value(): string | null {
    if (this.line[this.at] !== "'") {
      const space = this.line.indexOf(' ', this.at);
      const end = space < 0 ? this.line.length : space;
      const bare = this.line.slice(this.at, end);
      this.at = end;
      if (bare === 'null') return null;
      return bare === 'unchanged-toast-datum' ? UNCHANGED : bare;
    }
    const start = this.at + 1;
    let end = this.line.indexOf("'", start);
    while (this.line[end + 1] === "'") end = this.line.indexOf("'", end + 2);
    this.at = end + 1;
    return this.line.slice(start, end).replaceAll("''", "'");
  }
}
