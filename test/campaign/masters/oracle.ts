import type { Change, Committed, Tuple } from './decoding.ts';
import type { CaptureMode } from './mode.ts';
import { byName, type TableFacts } from './tables.ts';
import { announced, expected, member, microseconds, type Parsed, parse, spelled } from './wire-form.ts';

/**
 * Compares, for each committed transaction, the rows that it changed with the messages that it wrote. For each row and id:
 *
 *   replicated before, replicated at the end   →   message
 *   no,  no        nothing
 *   no,  yes       SAVE
 *   yes, yes       SAVE; it may be missing when only columns of ours, or that do not travel, changed
 *   yes, no        DELETE
 *   there but not replicated, then gone: a DELETE is allowed, and does no harm
 *
 * A key that ends and begins anew in one transaction (deleted and inserted, moved away and moved in) is a new incarnation.
 */

interface Life {
  readonly before: Tuple | undefined;
  readonly now: Tuple | undefined;
  /** The row that was there before has ended, even if the key is in use again. */
  readonly ended: boolean;
}

interface Message {
  readonly signal: string;
  readonly cqrsId: string;
  readonly id: bigint;
  readonly outboxKey: string;
  readonly body: Parsed;
}

/** How one transaction went. */
export interface Verdict {
  readonly messages: number;
  readonly rows: number;
  /** Changes of rows that this capture mode does not see. */
  readonly uncaptured: number;
  /** Rows of which the mode did not know what they were before. */
  readonly unknownBefore: number;
  readonly problems: readonly string[];
  /** The programs that had a part in it, as far as rows and messages say so: `client.transaction.step`, or without the step. */
  readonly steps: ReadonlySet<string>;
}

const DELETE_OF_UNKNOWN = 'DELETE of a row that was not replicated before';
/** Whether a problem is what an upsert does that did not know the row before. */
const isMissedBefore = (problem: string): boolean =>
  problem === DELETE_OF_UNKNOWN || /^previous data is .*, SAVE says null$/s.test(problem);

export class Oracle {
  /** Of keys that ended, the last incarnation: a new one must be greater in every respect. */
  readonly #ended = new Map<string, { incarnation: bigint; updated: bigint }>();
  readonly #lastId = new Map<string, bigint>();
  /** When the present incarnation of a key was committed. */
  readonly #writtenAt = new Map<string, number>();

  constructor(private readonly mode: CaptureMode) {}

  /** Forgets everything: the tables are empty. */
  reset(): void {
    this.#ended.clear();
    this.#lastId.clear();
    this.#writtenAt.clear();
  }

  /** @param beganAt when a program began, in milliseconds since 1970 */
  judge({ changes, at }: Committed, beganAt: (program: string) => number | undefined): Verdict {
    const problems: string[] = [];
    const messages = new Map<string, Message>();
    for (const change of changes)
      if (change.table === 'cqrs_outbox' && change.after) this.#read(change.after, messages, problems);
    const { size } = messages;
    const steps = new Set<string>();
    let began = Infinity;
    for (const { body } of messages.values()) {
      const program = String(member(body, 'correlation_id'));
      steps.add(program);
      began = Math.min(began, beganAt(program) ?? Infinity);
    }
    let rows = 0;
    let uncaptured = 0;
    let unknownBefore = 0;
    for (const [tableName, lives] of livesOf(changes)) {
      const table = byName.get(tableName)!;
      for (const [key, life] of lives) {
        rows++;
        steps.add((life.now ?? life.before)!['note']!.text!);
        const found = this.#judgeRow(table, key, life, messages);
        const name = `${table.name} ${key}`;
        const writtenMeanwhile = (this.#writtenAt.get(name) ?? -Infinity) >= began;
        if (life.now) this.#writtenAt.set(name, at);
        if (found.length > 0 && unseen(table, life, this.mode)) uncaptured++;
        else if (found.length > 0 && this.mode.upsertsMayMissRows && writtenMeanwhile && found.every(isMissedBefore)) {
          unknownBefore++;
        } else problems.push(...found.map((problem) => `${describe(table, key, life)}: ${problem}`));
      }
    }
    for (const [name, { signal }] of messages) problems.push(`${name}: ${signal} for a row that did not change so`);
    return { messages: size, rows, uncaptured, unknownBefore, problems, steps };
  }

  #read(outboxRow: Tuple, messages: Map<string, Message>, problems: string[]): void {
    const text = (column: string): string => outboxRow[column]!.text!;
    const body = parse(text('body'));
    const pk = member(body, 'instance_pk');
    const name = `${text('cqrs_id')} ${spelled(pk ?? null)}`;
    const message: Message = {
      signal: text('signal'),
      cqrsId: text('cqrs_id'),
      id: BigInt(text('id')),
      outboxKey: text('key'),
      body,
    };
    if (message.signal === 'SYNC') return; // repeats what is there
    if (messages.has(name)) problems.push(`${name}: more than one message`);
    // The relay keeps the order of ids for one key of the outbox: so must we.
    const line = `${message.cqrsId} ${message.outboxKey}`;
    if ((this.#lastId.get(line) ?? 0n) >= message.id)
      problems.push(`${name}: its id is less than that of an earlier transaction`);
    this.#lastId.set(line, message.id);
    if (spelled(member(body, 'signal_type') ?? null) !== JSON.stringify(message.signal))
      problems.push(`${name}: two kinds of signal`);
    messages.set(name, message);
  }

  #judgeRow(table: TableFacts, key: string, life: Life, messages: Map<string, Message>): string[] {
    const problems: string[] = [];
    const { before, now, ended } = life;
    const idBefore = before && table.cqrsIdOf(before);
    const idNow = now && table.cqrsIdOf(now);
    for (const cqrsId of new Set([idBefore, idNow].filter((id) => id !== undefined))) {
      const was = idBefore === cqrsId;
      const wasReplicated = was && table.isReplicated(before!);
      const isReplicated = idNow === cqrsId && table.isReplicated(now!);
      const name = `${cqrsId} ${key}`;
      const message = messages.get(name);
      messages.delete(name);
      const changed = !was || ended || differs(before!, now!, Object.keys(table.travels[cqrsId]!));
      if (isReplicated) {
        if (!message) {
          if (!wasReplicated || changed) problems.push('no SAVE');
        } else if (message.signal !== 'SAVE') problems.push(`${message.signal} instead of SAVE`);
        else problems.push(...judgeSave(table, cqrsId, life, message.body));
      } else if (message?.signal === 'DELETE' && was) {
        if (!wasReplicated && idNow === cqrsId) problems.push(DELETE_OF_UNKNOWN);
        problems.push(...judgeDelete(table, life, message.body, idNow === cqrsId));
      } else if (message) problems.push(`${message.signal} of a row that is not replicated`);
      else if (wasReplicated) problems.push('no DELETE');
    }
    problems.push(...this.#judgeVersion(`${table.name} ${key}`, life));
    return problems;
  }

  /** How the columns of ours moved, whether a message tells of it or not. */
  #judgeVersion(name: string, { before, now, ended }: Life): string[] {
    const problems: string[] = [];
    const former = before && versionOf(before);
    if (now) {
      const version = versionOf(now);
      if (former && !ended) {
        if (version.revision !== former.revision + 1n)
          problems.push(`revision ${former.revision} → ${version.revision}`);
        if (version.incarnation !== former.incarnation) problems.push('another incarnation, though the row lived on');
      } else {
        if (former && version.revision <= former.revision)
          problems.push('a new incarnation whose revision is not greater');
        const last = former ?? this.#ended.get(name);
        if (last && version.incarnation <= last.incarnation)
          problems.push('a new incarnation whose incarnation is not greater');
      }
      // An INSERT that waited for the DELETE of its key has the time at which it began; its incarnation is what orders it.
      if (former && version.updated <= former.updated) problems.push('cqrs_updated did not grow');
      this.#ended.delete(name);
    } else if (former) this.#ended.set(name, former);
    return problems;
  }
}

function judgeSave(table: TableFacts, cqrsId: string, { before, now, ended }: Life, body: Parsed): string[] {
  const problems: string[] = [];
  const data = member(body, 'instance_data');
  const check = (column: string, wire: string): void => {
    const wanted = expected(now![column]!);
    const told = announced(member(data, wire), now![column]!.type);
    if (wanted !== told) problems.push(`${wire} is ${shortened(wanted)}, SAVE says ${shortened(told)}`);
  };
  for (const [column, wire] of Object.entries(table.travels[cqrsId]!)) check(column, wire);
  check('cqrs_revision', 'cqrs_revision');
  check('cqrs_updated', 'cqrs_updated');
  const incarnation = announced(member(body, 'cqrs_incarnation'), 'bigint');
  if (incarnation !== now!['cqrs_incarnation']!.text) problems.push(`SAVE has the incarnation ${incarnation}`);
  const known = Object.keys(table.travels[cqrsId]!).length + 2;
  const told = typeof data === 'object' && data !== null ? Object.keys(data).length : 0;
  if (told !== known) problems.push(`SAVE has ${told} members instead of ${known}`);
  const previous = spelledPrevious(table, cqrsId, member(body, 'previous_data'));
  const possible = previousData(table, cqrsId, before, now!, ended);
  if (!possible.includes(previous)) {
    problems.push(`previous data is ${shortened(possible[0]!)}, SAVE says ${shortened(previous)}`);
  }
  return problems;
}

/** What `previous_data` may be, in the spelling of `spelledPrevious`. */
function previousData(
  table: TableFacts,
  cqrsId: string,
  before: Tuple | undefined,
  now: Tuple,
  ended: boolean,
): string[] {
  if (table.tracked.length === 0) return ['null'];
  const wires = table.travels[cqrsId]!;
  const spell = (columns: readonly string[], row?: Tuple): string =>
    columns
      .map((column) => `${wires[column]}=${row ? expected(row[column]!) : 'null'}`)
      .toSorted()
      .join(' ');
  const born = spell(table.tracked.filter((column) => now[column]!.text !== null));
  if (!before) return [born];
  const diff = spell(
    table.tracked.filter((column) => before[column]!.text !== now[column]!.text),
    before,
  );
  // For a key that ends and begins anew both are true: of its former incarnation, and of the new one.
  return ended || table.cqrsIdOf(before) !== cqrsId ? [diff, born, 'null'] : [diff];
}

function spelledPrevious(table: TableFacts, cqrsId: string, data: Parsed | undefined): string {
  if (data === undefined || data === null) return 'null';
  const wires = table.travels[cqrsId]!;
  const types: Record<string, string> = { at: 'timestamp with time zone' };
  return Object.keys(data)
    .map((wire) => `${wire}=${announced(member(data, wire), types[columnOf(wires, wire)] ?? '')}`)
    .toSorted()
    .join(' ');
}

const columnOf = (wires: Readonly<Record<string, string>>, wire: string): string =>
  Object.keys(wires).find((column) => wires[column] === wire) ?? wire;

function judgeDelete(table: TableFacts, { before, now, ended }: Life, body: Parsed, staysFiltered: boolean): string[] {
  const problems: string[] = [];
  const data = member(body, 'instance_data');
  const id = spelled(member(data, 'id') ?? null);
  if (id !== keyOf(table, before!)) problems.push(`DELETE names the row ${id}`);
  const former = versionOf(before!);
  const revision = BigInt(spelled(member(data, 'cqrs_revision') ?? null));
  const updated = microseconds(String(member(data, 'cqrs_updated')));
  const incarnation = BigInt(spelled(member(body, 'cqrs_incarnation') ?? null));
  if (revision <= former.revision) problems.push(`DELETE has the revision ${revision}, the row had ${former.revision}`);
  if (staysFiltered && revision > versionOf(now!).revision)
    problems.push('DELETE has a greater revision than the row that stays');
  if (updated < former.updated) problems.push('DELETE has an earlier time than the row');
  if (!ended && incarnation !== former.incarnation) problems.push('DELETE has another incarnation than the row');
  return problems;
}

function versionOf(row: Tuple): { revision: bigint; incarnation: bigint; updated: bigint } {
  return {
    revision: BigInt(row['cqrs_revision']!.text!),
    incarnation: BigInt(row['cqrs_incarnation']!.text!),
    updated: microseconds(row['cqrs_updated']!.text!),
  };
}

/** For each table, what happened to each of its keys. */
function livesOf(changes: readonly Change[]): Map<string, Map<string, Life>> {
  const all = new Map<string, Map<string, Life>>();
  for (const { table: name, before, after } of changes) {
    const table = byName.get(name);
    if (!table) continue;
    let lives = all.get(name);
    if (!lives) all.set(name, (lives = new Map()));
    const from = before && keyOf(table, before);
    const to = after && keyOf(table, after);
    const full = (row: Tuple, like: Tuple | undefined): Tuple => complete(row, like);
    if (from !== undefined) {
      const known = lives.get(from);
      const was = known ? known.before : full(before!, after);
      const goesOn = from === to;
      lives.set(from, { before: was, now: goesOn ? after : undefined, ended: (known?.ended ?? false) || !goesOn });
    }
    if (to !== undefined && to !== from) {
      const known = lives.get(to);
      lives.set(to, { before: known?.before, now: after, ended: known?.ended ?? false });
    }
  }
  // A row that was not there before, and is not there now, is nobody's business.
  for (const lives of all.values()) {
    for (const [key, { before, now }] of lives) if (!before && !now) lives.delete(key);
  }
  return all;
}

// A deleted row comes without its columns that are null.
function complete(row: Tuple, like: Tuple | undefined): Tuple {
  return new Proxy(row as Record<string, Tuple[string]>, {
    get: (target, column: string) => target[column] ?? { type: like?.[column]?.type ?? '', text: null },
  });
}

function keyOf(table: TableFacts, row: Tuple): string {
  const parts = table.key.map((column) => expected(row[column]!));
  return parts.length === 1 ? parts[0]! : `[${parts.join()}]`;
}

function differs(before: Tuple, now: Tuple, columns: readonly string[]): boolean {
  return columns.some((column) => before[column]!.text !== now[column]!.text);
}

/** Rows of `loose` are written by ways of their own; `note` says by which. */
function unseen(table: TableFacts, { before, now }: Life, mode: CaptureMode): boolean {
  if (table.name !== 'c_loose') return false;
  const kind = (now ?? before)!['note']!.text!.split(':')[0];
  return kind === 'raw' ? !mode.captures.has('raw SQL') : kind === 'psql' && !mode.captures.has('psql');
}

/** Who wrote the row last, for whoever looks for the step. */
function describe(table: TableFacts, key: string, { before, now }: Life): string {
  return `${table.name} ${key} (${before ? 'there' : 'not there'} before; ${now ? `now of step ${now['note']!.text}` : `gone, last of step ${before!['note']!.text}`})`;
}

const shortened = (text: string): string => (text.length > 120 ? `${text.slice(0, 120)}…` : text);
