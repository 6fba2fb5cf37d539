import { TransportPayload, type SignalType } from '../../../../src/wire/payload.js';
import { formatMicroseconds } from '../../../../src/wire/times.js';
import type { Received } from '../../../../src/messaging/inbox/handler.js';

/** One thing that happens to a master's rows. `row` and `other` are small numbers; each step means what is possible. */
export interface Step {
  readonly kind: (typeof STEPS)[number];
  readonly row: number;
  readonly other: number;
  /** Which of the two writers does it. */
  readonly writer: 0 | 1;
  /** Time since the step before, in microseconds. */
  readonly gap: number;
  /** How long its statement has waited for a lock, in seconds; by ten times as much the clock goes back. */
  readonly wait: number;
}

export const ROWS = 3;
export const STEPS = [
  'create',
  'update',
  'update',
  'delete',
  'replace',
  'move',
  'leave',
  'enter',
  'lose',
  'bulk',
  'sync',
  'restore',
  'tie',
  'clock',
] as const;

/** What a history has led to: every message it sent, in the order of the commits, and what a replica should hold. */
export interface Announced {
  readonly messages: readonly Received[];
  /** When each was committed, in microseconds since 1970, where the master is a model. */
  readonly times?: readonly number[];
  readonly rows: ReadonlyMap<number, string>;
  /** The present state of these rows, as `reconcile` sends it, where the master is a model. */
  readonly syncs?: readonly Received[];
}

/** Something that writes rows with the keys `firstKey`, `firstKey` + 1 … and announces them. */
export interface Master {
  run(steps: readonly Step[], firstKey: number): Promise<Announced>;
}

const SECOND = 1_000_000;
const CQRS_ID = 'account';

interface Row {
  incarnation: number | null;
  revision: number;
  updated: number;
  name: string;
  matches: boolean;
}

/** Rows in memory, and the clock that their writers read. */
abstract class ModelledMaster implements Master {
  protected readonly rows = new Map<number, Row>();
  protected readonly lost = new Set<number>();
  protected clock = 0;
  protected firstKey = 0;
  /** How far the relay of numbered messages is behind, in microseconds. */
  protected behind = 0;
  #messages: Received[] = [];
  #times: number[] = [];
  #names = 0;
  #backup = new Map<number, Row>();

  async run(steps: readonly Step[], firstKey: number): Promise<Announced> {
    this.rows.clear();
    this.lost.clear();
    this.#messages = [];
    this.#times = [];
    this.#backup = new Map();
    this.firstKey = firstKey;
    // Whole seconds: incarnations are lifted by them, and a seed has to lead to the same history at any time.
    this.clock = Math.floor(Date.now() / 1000) * SECOND - 86_400 * SECOND;
    for (const [index, step] of steps.entries()) {
      this.clock += step.gap;
      if (index === Math.floor(steps.length / 3)) this.#backup = this.#copy();
      this.take(step, this.firstKey + step.row, this.firstKey + step.other);
    }
    // What vanished without a word is missed by nobody until its key is heard of again.
    this.clock += 10 * SECOND;
    for (const key of this.lost) {
      const row = this.rows.get(key);
      if (!row) this.insert(key, 0);
      else if (row.incarnation !== null && !row.matches) this.send('DELETE', key, row);
    }
    this.conclude();
    const [messages, times] = [this.#messages, this.#times];
    [this.#messages, this.#times] = [[], []];
    for (const [key, row] of this.rows) if (row.matches) this.send('SYNC', key, row);
    return { messages, times, rows: this.expected(), syncs: this.#messages };
  }

  protected abstract take(step: Step, key: number, other: number): void;
  protected abstract insert(key: number, writer: 0 | 1): void;
  protected abstract expected(): Map<number, string>;

  /** What is still to happen at the end of a history. */
  protected conclude(): void {}

  protected nextName(): string {
    return `n${this.#names++}`;
  }

  protected restoreBackup(): void {
    for (const key of this.rows.keys()) if (!this.#backup.has(key)) this.lost.add(key);
    this.rows.clear();
    for (const [key, row] of this.#backup) this.rows.set(key, { ...row });
  }

  protected send(
    signalType: SignalType,
    key: number,
    row: Row,
    { revision = row.revision, updated = row.updated } = {},
  ): void {
    const version = { cqrs_revision: revision, cqrs_updated: formatMicroseconds(updated) };
    const payload = new TransportPayload({
      signalType,
      cqrsId: CQRS_ID,
      instanceData: signalType === 'DELETE' ? { id: key, ...version } : { id: key, name: row.name, ...version },
      instancePk: key,
      incarnation: row.incarnation,
    });
    this.#times.push(this.clock + (row.incarnation === null ? 0 : this.behind));
    const committedAt = row.incarnation === null ? null : new Date(this.clock / 1000);
    this.#messages.push({ payload, committedAt, direct: false, expired: false });
  }

  #copy(): Map<number, Row> {
    return new Map([...this.rows].map(([key, row]) => [key, { ...row }]));
  }
}

/**
 * A model of our own masters: incarnations by the clock and a sequence that the relay keeps two seconds ahead of it, and
 * that a restored master has lost; times that only grow while a row lives.
 */
export class OurMasterModel extends ModelledMaster {
  #sequence = 0;

  protected take(step: Step, key: number, other: number): void {
    const row = this.rows.get(key);
    if (step.kind === 'create') return row ? undefined : this.insert(key);
    if (step.kind === 'restore') return this.#restore();
    if (step.kind === 'clock') {
      this.#sequence = Math.max(this.#sequence, this.clock + 2 * SECOND);
      this.clock -= (1 + 10 * step.wait) * SECOND;
      return;
    }
    if (!row) return;
    switch (step.kind) {
      case 'tie': // numbered rows have none
        return;
      case 'update':
        return this.#update(key, row);
      case 'bulk':
        for (const [each, one] of this.rows) this.#update(each, one);
        return;
      case 'leave':
        return this.#update(key, row, false);
      case 'enter':
        return this.#update(key, row, true);
      case 'delete':
        this.rows.delete(key);
        return this.#bury(key, row);
      case 'replace':
        Object.assign(row, {
          ...this.#next(row),
          incarnation: Math.max(this.#nextIncarnation(), row.incarnation! + 1),
          name: this.nextName(),
        });
        return row.matches ? this.send('SAVE', key, row) : undefined;
      case 'move': {
        if (this.rows.has(other)) return;
        this.rows.delete(key);
        this.#bury(key, row);
        Object.assign(row, {
          ...this.#next(row),
          incarnation: Math.max(this.#nextIncarnation(), row.incarnation! + 1),
        });
        this.rows.set(other, row);
        return row.matches ? this.send('SAVE', other, row) : undefined;
      }
      case 'lose':
        this.rows.delete(key);
        return void this.lost.add(key);
      case 'sync':
        return this.send(row.matches ? 'SYNC' : 'DELETE', key, row);
    }
  }

  protected insert(key: number): void {
    const row: Row = {
      incarnation: this.#nextIncarnation(),
      revision: 0,
      updated: this.clock,
      name: this.nextName(),
      matches: true,
    };
    this.rows.set(key, row);
    this.send('SAVE', key, row);
  }

  #nextIncarnation(): number {
    return Math.max(this.clock, ++this.#sequence);
  }

  protected expected(): Map<number, string> {
    return new Map([...this.rows].filter(([, row]) => row.matches).map(([key, row]) => [key, row.name]));
  }

  #update(key: number, row: Row, matches = row.matches): void {
    const matched = row.matches;
    Object.assign(row, { ...this.#next(row), name: this.nextName(), matches });
    if (matches) this.send('SAVE', key, row);
    else if (matched) this.send('DELETE', key, row);
  }

  #bury(key: number, row: Row): void {
    if (row.matches)
      this.send('DELETE', key, row, { revision: row.revision + 1, updated: Math.max(this.clock, row.updated + 1) });
  }

  #next({ revision, updated }: Row): Pick<Row, 'revision' | 'updated'> {
    return { revision: revision + 1, updated: Math.max(this.clock, updated + 1) };
  }

  // From a backup, then `cqrs sync --new-incarnation --replica`, which goes above what replicas have.
  #restore(): void {
    this.restoreBackup();
    for (const [key, row] of this.rows) {
      row.incarnation = this.#nextIncarnation();
      this.send(row.matches ? 'SYNC' : 'DELETE', key, row);
    }
  }
}

export interface PythonBounds {
  /** Whether statements wait for locks, so that later revisions have earlier times. */
  readonly waits: boolean;
  /** Between the end of one life of a key and the beginning of the next, in seconds. */
  readonly apart: number;
}

/**
 * A model of a Python master within the bounds that are promised: two clocks less than a second apart, lives that last
 * longer than that and are so far apart. Times are those of the call of `save`, a lock wait before the write; a revision that
 * is read after COMMIT may be that of the next writer (a tie). Revisions of deletions come from memory; rows that leave the
 * filter are not announced; revisions have gaps.
 */
export class PythonMasterModel extends ModelledMaster {
  readonly #announced = new Map<number, string>();
  readonly #notBefore = new Map<number, number>();
  /** When the present incarnation of a key began, by the clock of its writer. */
  readonly #births = new Map<number, number>();
  readonly #tied = new Set<number>();

  constructor(private readonly bounds: PythonBounds = { waits: false, apart: 4 }) {
    super();
  }

  override run(steps: readonly Step[], firstKey: number): Promise<Announced> {
    for (const memory of [this.#announced, this.#notBefore, this.#births, this.#tied]) memory.clear();
    return super.run(steps, firstKey);
  }

  protected take({ kind, writer, other: memory, wait }: Step, key: number): void {
    const row = this.rows.get(key);
    this.#awaitTurn(key);
    if (!row) return kind === 'create' ? this.insert(key, writer) : undefined;
    switch (kind) {
      case 'update':
        return this.#update(key, row, writer, wait);
      case 'bulk':
        for (const [each, one] of this.rows) {
          this.#awaitTurn(each);
          this.#update(each, one, writer, wait);
        }
        return;
      case 'tie':
        return this.bounds.waits ? this.#tie(key, row, writer) : undefined;
      case 'leave':
        row.matches = false;
        return;
      case 'enter':
        row.matches = true;
        return this.#update(key, row, writer, wait);
      case 'delete': {
        this.#end(key);
        this.#announced.delete(key);
        const remembered = Math.max(0, row.revision - (memory - this.firstKey));
        return this.send('DELETE', key, row, { revision: remembered + 1, updated: this.#time(writer) });
      }
      case 'lose':
        this.#end(key);
        return void this.lost.add(key);
      case 'sync':
        return row.matches && this.#announced.has(key) ? this.#announce('SYNC', key, row) : undefined;
      default:
        return;
    }
  }

  protected insert(key: number, writer: 0 | 1): void {
    this.#awaitTurn(key);
    const row: Row = {
      incarnation: null,
      revision: 0,
      updated: this.#time(writer),
      name: this.nextName(),
      matches: true,
    };
    this.rows.set(key, row);
    this.#births.set(key, row.updated);
    this.#notBefore.set(key, this.clock + 2 * SECOND);
    this.#announce('SAVE', key, row);
  }

  /** Nobody can tell which of two states of one revision is the later; the next change ends it. */
  protected override conclude(): void {
    for (const key of this.#tied) {
      const row = this.rows.get(key);
      if (!row) continue;
      row.matches = true;
      this.#update(key, row, 0, 0);
    }
  }

  protected expected(): Map<number, string> {
    return new Map(this.#announced);
  }

  #update(key: number, row: Row, writer: 0 | 1, wait: number): void {
    row.revision += 1 + (row.revision % 2);
    const waited = this.bounds.waits ? wait * SECOND : 0;
    row.updated = Math.max(this.#time(writer) - waited, this.#births.get(key)! + 1);
    row.name = this.nextName();
    if (row.matches) this.#announce('SAVE', key, row);
  }

  /** Two changes, and the first reads the revision of the second. */
  #tie(key: number, row: Row, writer: 0 | 1): void {
    row.revision += 2;
    for (const updated of [this.#time(writer), this.#time(writer) - 3 * SECOND]) {
      row.updated = Math.max(updated, this.#births.get(key)! + 1);
      row.name = this.nextName();
      if (row.matches) this.#announce('SAVE', key, row);
    }
    row.matches = true;
    this.#tied.add(key);
  }

  #announce(signalType: SignalType, key: number, row: Row): void {
    this.#announced.set(key, row.name);
    this.send(signalType, key, row);
  }

  #end(key: number): void {
    this.rows.delete(key);
    this.#notBefore.set(key, this.clock + this.bounds.apart * SECOND);
  }

  #awaitTurn(key: number): void {
    this.clock = Math.max(this.clock, this.#notBefore.get(key) ?? 0);
  }

  #time(writer: 0 | 1): number {
    return this.clock + (writer === 0 ? 0 : 0.9 * SECOND);
  }
}

/**
 * A model of one table that Django and MikroORM write, each announcing its own: one counter of revisions, incarnations that
 * the database gives to every row and only our messages carry, and a relay of ours that is behind. A life lasts four seconds
 * at least, and so long lie between two lives of a key.
 */
export class TwoMastersModel extends ModelledMaster {
  /** The incarnations of the rows, which Python's messages do not have. */
  readonly #incarnations = new Map<number, number>();
  readonly #notBefore = new Map<number, number>();
  #sequence = 0;

  constructor(behindSeconds: number) {
    super();
    this.behind = behindSeconds * SECOND;
  }

  override run(steps: readonly Step[], firstKey: number): Promise<Announced> {
    this.#incarnations.clear();
    this.#notBefore.clear();
    this.#sequence = 0;
    return super.run(steps, firstKey);
  }

  protected take({ kind, writer, other: memory }: Step, key: number): void {
    const row = this.rows.get(key);
    if (!row) return kind === 'create' ? this.insert(key, writer) : undefined;
    switch (kind) {
      case 'update':
      case 'enter':
      case 'bulk':
        return this.#update(key, row, writer);
      case 'sync':
        return this.#tell('SYNC', key, row, writer);
      case 'replace': {
        if (writer === PYTHON) return;
        this.#incarnations.set(key, Math.max(this.#nextIncarnation(), this.#incarnations.get(key)! + 1));
        return this.#update(key, row, writer);
      }
      case 'delete': {
        this.#awaitTurn(key);
        this.rows.delete(key);
        this.#notBefore.set(key, this.clock + 4 * SECOND);
        const remembered = writer === PYTHON ? Math.max(0, row.revision - (memory - this.firstKey)) : row.revision;
        return this.#tell(
          'DELETE',
          key,
          { ...row, revision: remembered + 1, updated: this.#time(row, writer) },
          writer,
        );
      }
      default:
        return;
    }
  }

  protected insert(key: number, writer: 0 | 1): void {
    this.#awaitTurn(key);
    const row: Row = {
      incarnation: null,
      revision: 0,
      updated: this.clock + (writer === PYTHON ? 0.9 * SECOND : 0),
      name: this.nextName(),
      matches: true,
    };
    this.rows.set(key, row);
    this.#incarnations.set(key, this.#nextIncarnation());
    this.#notBefore.set(key, this.clock + 4 * SECOND);
    this.#tell('SAVE', key, row, writer);
  }

  protected expected(): Map<number, string> {
    return new Map([...this.rows].map(([key, row]) => [key, row.name]));
  }

  #update(key: number, row: Row, writer: 0 | 1): void {
    Object.assign(row, { revision: row.revision + 1, updated: this.#time(row, writer), name: this.nextName() });
    this.#tell('SAVE', key, row, writer);
  }

  #tell(signalType: SignalType, key: number, row: Row, writer: 0 | 1): void {
    const incarnation = writer === PYTHON ? null : this.#incarnations.get(key)!;
    this.send(signalType, key, { ...row, incarnation });
  }

  /** Python's is that of its host, which is ahead; ours is later than the one before. */
  #time({ updated }: Row, writer: 0 | 1): number {
    return writer === PYTHON ? this.clock + 0.9 * SECOND : Math.max(this.clock, updated + 1);
  }

  /** The relay lifts it every second. */
  #nextIncarnation(): number {
    const lifted = Math.floor(this.clock / SECOND) * SECOND + 2 * SECOND;
    this.#sequence = Math.max(this.#sequence + 1, lifted);
    return Math.max(this.clock, this.#sequence);
  }

  #awaitTurn(key: number): void {
    this.clock = Math.max(this.clock, this.#notBefore.get(key) ?? 0);
  }
}

const PYTHON = 1;
