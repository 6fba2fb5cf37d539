import { type SqlControl, readControl } from './sql-control.js';
import { SqlTokens } from './sql-tokens.js';

/** A write that a statement says of itself. What functions, triggers and rules write is not in its text. */
export interface SqlWrite {
  readonly verb: 'insert' | 'update' | 'delete' | 'merge' | 'truncate' | 'copy';
  /** As PostgreSQL stores the name; undefined when the text leaves it to `search_path`. */
  readonly schema?: string;
  readonly table: string;
}

/** One statement of a text. */
export interface SqlStatement {
  /** Where it stands in the text, without comments around it and without its semicolon. */
  readonly start: number;
  readonly end: number;
  /** Its first words in lower case, at most four, up to the first token that is none. */
  readonly words: readonly string[];
  /** In the order of the text, those of data-modifying CTEs, EXPLAIN ANALYZE, PREPARE and DO among them. */
  readonly writes: readonly SqlWrite[];
  /** What it does to its transaction or session. */
  readonly control?: SqlControl;
}

/**
 * The statements of an SQL text, in time that grows with its length alone.
 * @example
 * const [statement] = sqlStatements('with gone as (delete from "public" . account returning *) select * from gone');
 * statement.writes; // [{ verb: 'delete', schema: 'public', table: 'account' }]
 */
export function* sqlStatements(text: string): Generator<SqlStatement> {
  const tokens = new SqlTokens(text);
  while (tokens.kind !== 'end') {
    if (tokens.word === ';') tokens.next();
    else yield new StatementReader(tokens).read();
  }
}

/** One pair of parentheses, or what is around all of them. */
interface Level {
  /** Nothing but prefixes were here: a statement may begin. */
  atBeginning: boolean;
  /** A WITH clause is open: behind a parenthesis that closes, its statement may begin. */
  inWith: boolean;
  /** … or behind SEARCH or CYCLE, which stand between a common table expression and its statement. */
  inSearch?: boolean;
}

/** The words that begin a write, and the word that has to follow. */
const VERBS: Readonly<Record<SqlWrite['verb'], string | undefined>> = {
  insert: 'into',
  delete: 'from',
  merge: 'into',
  update: undefined,
  truncate: undefined,
  copy: undefined,
};
/** May stand behind UPDATE where that is no statement, and are not thought to be tables. */
const NO_TABLE = new Set(['set', 'of', 'on', 'to', 'as', 'from', 'where', 'nowait', 'skip', 'select', 'or', 'limit']);

class StatementReader {
  readonly #start: number;
  readonly #words: readonly string[];
  readonly #writes: SqlWrite[] = [];
  readonly #levels: Level[] = [{ atBeginning: true, inWith: false }];
  /** The word or symbol before; nothing for any other token. */
  #before = '';
  /** Of COPY: whether it writes is said behind its columns. */
  #copied?: SqlWrite;
  /** How deep in BEGIN ATOMIC … END, whose statements have semicolons of their own. */
  #atomic = 0;
  /** What is written here is only described: EXPLAIN without ANALYZE, CREATE FUNCTION. */
  #describes = false;

  constructor(private readonly tokens: SqlTokens) {
    this.#start = tokens.start;
    this.#words = leadingWords(tokens);
  }

  read(): SqlStatement {
    const { tokens } = this;
    const [first = '', second = ''] = this.#words;
    if (first === 'explain') this.#skipExplain();
    else if (first === 'prepare' && second !== 'transaction') this.#skipPrepare();
    this.#describes ||= first === 'create' && !/^(?:table|temp|temporary|unlogged|global|local)$/.test(second);
    while (!this.#isOver()) this.#step();
    const control = first === '' ? undefined : readControl(new SqlTokens(tokens.text, this.#start), this.#words);
    return {
      start: this.#start,
      end: tokens.previousEnd,
      words: this.#words,
      writes: this.#describes ? [] : this.#writes,
      ...(control ? { control } : {}),
    };
  }

  #isOver(): boolean {
    const { tokens } = this;
    return tokens.kind === 'end' || (this.#levels.length === 1 && this.#atomic === 0 && tokens.word === ';');
  }

  #step(): void {
    const { tokens } = this;
    const { word } = tokens;
    const level = this.#levels.at(-1)!;
    if (word === '(') {
      const atBeginning = level.atBeginning || this.#before === 'as' || this.#before === 'materialized';
      this.#levels.push({ atBeginning, inWith: false });
    } else if (word === ')') {
      if (this.#levels.length > 1) this.#levels.pop();
    } else if (this.#beginsWrite(level, word)) {
      level.inWith = level.inSearch = false;
      this.#takeWrites(word as SqlWrite['verb'], level);
      this.#before = '';
      return;
    } else {
      this.#look(level, word);
    }
    level.atBeginning = false;
    this.#before = word;
    tokens.next();
  }

  #beginsWrite(level: Level, word: string): boolean {
    if (!Object.hasOwn(VERBS, word)) return false;
    if (level.atBeginning || (level.inWith && this.#before === ')')) return true;
    return level.inSearch === true && !/^(?:by|set|using|to|default|,)$/.test(this.#before);
  }

  #look(level: Level, word: string): void {
    const { tokens } = this;
    if (tokens.kind === 'string' && this.#words[0] === 'do') this.#writes.push(...readSqlBody(tokens.content).writes);
    else if (word === 'with' && level.atBeginning) level.inWith = true;
    else if (level.inWith && /^(?:select|values|table)$/.test(word)) level.inWith = level.inSearch = false;
    else if (level.inWith && this.#before === ')' && /^(?:search|cycle)$/.test(word)) level.inSearch = true;
    else if (this.#copied && this.#levels.length === 1 && (word === 'from' || word === 'to')) {
      if (word === 'from') this.#writes.push(this.#copied);
      this.#copied = undefined;
    } else if (this.#words[0] === 'create') this.#followAtomic(word);
  }

  #followAtomic(word: string): void {
    if (word === 'atomic' && this.#before === 'begin') this.#atomic = 1;
    else if (this.#atomic > 0 && word === 'case') this.#atomic += 1;
    else if (this.#atomic > 0 && word === 'end') this.#atomic -= 1;
  }

  #takeWrites(verb: SqlWrite['verb'], level: Level): void {
    const { tokens } = this;
    const writes = takeTables(tokens, verb);
    // COPY (statement) TO: what is in the parentheses may write.
    level.atBeginning = verb === 'copy' && writes.length === 0;
    if (verb === 'copy') this.#copied = writes[0];
    else this.#writes.push(...writes);
  }

  // EXPLAIN runs its statement only when told to.
  #skipExplain(): void {
    const { tokens } = this;
    let runs = false;
    tokens.next();
    const inParentheses = tokens.take('(');
    while (
      inParentheses ? tokens.word !== ')' && tokens.kind !== 'end' : /^(?:analy[sz]e|verbose)$/.test(tokens.word)
    ) {
      const analyzes = /^analy[sz]e$/.test(tokens.word);
      tokens.next();
      if (analyzes) runs = !/^(?:off|false|0)$/i.test(tokens.written);
    }
    tokens.take(')');
    this.#describes = !runs;
  }

  // PREPARE name (types) AS statement
  #skipPrepare(): void {
    const { tokens } = this;
    while (tokens.kind !== 'end' && tokens.word !== 'as' && tokens.word !== ';') tokens.next();
    tokens.take('as');
  }
}

function leadingWords({ text, start }: SqlTokens): string[] {
  const tokens = new SqlTokens(text, start);
  const words: string[] = [];
  while (words.length < 4 && tokens.kind === 'word') {
    words.push(tokens.word);
    tokens.next();
  }
  return words;
}

/** The tables that a verb writes; goes on behind them. */
function takeTables(tokens: SqlTokens, verb: SqlWrite['verb']): SqlWrite[] {
  tokens.next();
  const follower = VERBS[verb];
  if (follower !== undefined && !tokens.take(follower)) return [];
  if (verb === 'truncate') tokens.take('table');
  if (verb === 'copy') tokens.take('binary');
  const writes: SqlWrite[] = [];
  do {
    const name = takeTable(tokens);
    if (!name) break;
    writes.push({ verb, ...name });
    if (verb === 'truncate') tokens.take('*');
  } while (verb === 'truncate' && tokens.take(','));
  return writes;
}

// [ONLY] [schema.]table, or ONLY (table)
function takeTable(tokens: SqlTokens): Pick<SqlWrite, 'schema' | 'table'> | undefined {
  const inParentheses = tokens.take('only') && tokens.take('(');
  if (NO_TABLE.has(tokens.word)) return undefined;
  let schema: string | undefined;
  let table = tokens.takeName();
  while (table !== undefined && tokens.take('.')) {
    schema = table;
    table = tokens.takeName();
  }
  if (inParentheses) tokens.take(')');
  return table === undefined ? undefined : { ...(schema === undefined ? {} : { schema }), table };
}

/** What a body of PL/pgSQL or SQL does, its own statements and SQL in its strings alike. */
export interface SqlBody {
  readonly writes: readonly SqlWrite[];
  /** The names, without their schemas, of what it calls. */
  readonly calls: readonly string[];
}

/**
 * Reads a function, or the body of a DO: its statements stand between words of its own language, and its body may be a
 * string. What it puts together when it runs is not known.
 */
export function readSqlBody(text: string): SqlBody {
  const writes: SqlWrite[] = [];
  const calls = new Set<string>();
  readInto({ writes, calls }, text, MOST_STRINGS);
  return { writes, calls: [...calls] };
}

/** Strings in strings: the body of a function, a statement that it executes, a value in it. */
const MOST_STRINGS = 2;

function readInto(found: { writes: SqlWrite[]; calls: Set<string> }, text: string, strings: number): void {
  const tokens = new SqlTokens(text);
  let before = '';
  while (tokens.kind !== 'end') {
    const { word } = tokens;
    // FOR UPDATE, FOR NO KEY UPDATE, ON UPDATE and the like begin nothing.
    if (Object.hasOwn(VERBS, word) && !/^(?:for|key|on|,|\.)$/.test(before)) {
      found.writes.push(...takeTables(tokens, word as SqlWrite['verb']));
    } else if (tokens.kind === 'string') {
      if (strings > 0) readInto(found, tokens.content, strings - 1);
      tokens.next();
    } else {
      const name = tokens.takeName();
      if (name === undefined) tokens.next();
      else if (tokens.word === '(') found.calls.add(name);
    }
    before = word;
  }
}
