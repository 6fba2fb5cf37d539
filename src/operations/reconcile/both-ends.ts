import { type KeyedTable, readKey, writeKey } from '../../replication/compare/keyed-table.js';
import { type Asked, MOST_TRIED, MOST_TRIED_LENGTH } from '../../replication/compare/protocol.js';
import type { DifferentSlot } from '../../replication/compare/slot-digests.js';
import { despiteConflicts } from '../../postgres/conflicts.js';
import { InputError, ReplicaAnswerError } from '../../kernel/errors.js';
import type { Version } from '../../wire/payload.js';
import { formatMicroseconds } from '../../wire/times.js';
import { parseJson } from '../../wire/values.js';
import type { Cqrs } from '../../cqrs.js';
import { greatestTold } from '../raise-incarnations.js';
import { withdrawalBody } from '../../replication/master/sync.js';
import { countRows, type Snapshot } from '../snapshot.js';
import type { BrokerPresence } from './broker-presence.js';
import { type Agreement, MasterEnd, type OwnRow } from './master-end.js';
import { keyName, ReplicaEnd, type ToldRow } from './replica-end.js';

const CONCLUDE_MS = 5_000;

/** Some rows as the two ends have them at one time, by the names of their keys. */
export interface Rows {
  readonly own: ReadonlyMap<string, OwnRow>;
  readonly told: ReadonlyMap<string, ToldRow>;
  /** Rows changed later are not judged, in microseconds since 1970. */
  readonly settledAt: number;
}

/** Groups of slots, and how finely they are looked at. */
export interface Where {
  readonly bits: number;
  readonly groupBits: number;
  readonly groups: readonly number[];
}

/**
 * Master and replica, asked the same and at the same time: what is written between two looks would seem different.
 * `agree` comes first.
 */
export class BothEnds {
  readonly #master: MasterEnd;
  readonly #replica: ReplicaEnd;
  readonly #broker: BrokerPresence;
  #agreement!: Agreement;
  #leftOut: readonly string[] = [];
  #changedLately = 0;

  /** @throws UnknownCqrsIdError */
  constructor(
    cqrs: Cqrs,
    private readonly options: {
      readonly cqrsId: string;
      readonly queue: string;
      readonly fields?: readonly string[] | undefined;
      readonly timeoutMs: number;
      readonly settleMicros: number;
      readonly signal?: AbortSignal | undefined;
      readonly onFailure: (key: string, reason: string) => void;
      readonly broker: BrokerPresence;
    },
  ) {
    const { cqrsId, queue, timeoutMs, signal, onFailure } = options;
    this.#master = new MasterEnd(cqrs, cqrsId, onFailure);
    this.#broker = options.broker;
    this.#replica = new ReplicaEnd(cqrs, { cqrsId, queue, timeoutMs, signal });
  }

  get table(): KeyedTable {
    return this.#master.table;
  }

  get traffic(): { questions: number; questionBytes: number } {
    return { questions: this.#replica.questions, questionBytes: this.#replica.bytes };
  }

  /** The fields whose content is compared, and those that are sent and are not. */
  get compared(): { fields: readonly string[] | null; fieldsLeftOut: readonly string[] } {
    return { fields: this.#agreement?.checksums ?? null, fieldsLeftOut: this.#leftOut };
  }

  /** How many rows of the master the first hashes have left out, since they were changed within the settle time. */
  get changedLately(): number {
    return this.#changedLately;
  }

  /** Whether hashes tell nothing: what a serializer makes is not in the table. */
  get isBlind(): boolean {
    return this.#master.definition.serializer !== undefined && this.#agreement.checksums !== null;
  }

  /** Finds out what can be compared: versions always, content as far as both ends have it. @throws InputError */
  async agree(): Promise<{ replicaRows: number }> {
    const { announced, serializer, table } = this.#master.definition;
    const { fields: chosen, cqrsId } = this.options;
    const sent = announced.map(({ wire }) => wire);
    const unknown = serializer ? undefined : chosen?.find((name) => !sent.includes(name));
    if (unknown !== undefined)
      throw new InputError(`'${cqrsId}' sends no field '${unknown}'.`, `It sends ${sent.join(', ')}.`);

    const described = await this.#broker.steadily(() => this.#replica.ask('describe', {}));
    const width = table.keyColumns.length;
    if (described.keyKinds.length !== width)
      throw this.#replica.nonsense(`its key has ${described.keyKinds.length} columns, and ours ${width}`);
    const kindThere = (name: string): string | undefined =>
      described.fields.find(({ names }) => names.includes(name))?.kind;
    const byItself = serializer || described.custom ? [] : sent.filter((name) => kindThere(name) !== undefined);
    const compared = chosen ?? byItself;
    this.#leftOut = chosen ? [] : sent.filter((name) => !compared.includes(name));
    this.#agreement = {
      fields: serializer
        ? []
        : compared.map((name) => {
            const { kind } = announced.find(({ wire }) => wire === name)!;
            return { name, kind, other: kindThere(name) ?? kind };
          }),
      keyKinds: described.keyKinds,
      incarnations: described.incarnations,
      checksums: compared.length > 0 ? compared : null,
    };
    return { replicaRows: described.rows };
  }

  /** The greatest incarnation that the replica has; null: none, or it runs a release that cannot tell. */
  async greatestIncarnation(): Promise<number | null> {
    try {
      return await this.#broker.steadily(() => greatestTold(this.#replica));
    } catch (error) {
      if (error instanceof ReplicaAnswerError) return null;
      throw error;
    }
  }

  countOwn(): Promise<number> {
    return despiteConflicts(() => this.#master.inSnapshot((snapshot) => countRows(snapshot, this.table)));
  }

  /** The slots in these groups in which the two ends have something else. */
  async different(where: Where, onProgress: (rows: number) => void): Promise<DifferentSlot[]> {
    return this.#together(async (snapshot) => {
      const settledAt = snapshot.takenAt - this.options.settleMicros;
      const question = { ...where, groups: [...where.groups], ...this.#hashing() };
      const [theirs, ours] = await both(
        this.#replica.ask('digests', { ...question, settledAt: formatMicroseconds(settledAt) }),
        this.#master.digests(snapshot, this.#agreement, { ...where, settledAt }, onProgress),
      );
      if (where.groupBits === 0) this.#changedLately = await this.#master.changedSince(snapshot, settledAt);
      if (theirs.groups.length !== where.groups.length) throw this.#replica.nonsense('it has another number of groups');
      return where.groups.flatMap((group, index) => {
        const different = ours.compare(group, where.groupBits, theirs.groups[index]!);
        if (different) return different;
        throw this.#replica.nonsense('a group has another number of slots');
      });
    });
  }

  async rowsIn(bits: number, slots: number[]): Promise<Rows> {
    return this.#together(async (snapshot) => {
      const [told, own] = await both(
        this.#replica.ask('rows', { ...this.#hashing(), ...this.#checksums(), bits, slots }),
        this.#master.rowsIn(snapshot, this.#agreement, { bits, slots }),
      );
      return { own, told: this.#byName(told.rows), settledAt: snapshot.takenAt - this.options.settleMicros };
    });
  }

  /**
   * @param keys each part as PostgreSQL reads it.
   * @param each whether the checksums are those of single fields.
   */
  async rowsOf(keys: readonly string[][], { each = false } = {}): Promise<Rows> {
    return this.#together(async (snapshot) => {
      const asked = keys.map((key) => parseJson(writeKey(this.table, key)));
      const [told, own] = await both(
        this.#replica.ask('keys', { keys: asked, each, ...this.#checksums() }),
        this.#master.rowsOf(snapshot, this.#agreement, keys, each),
      );
      if (told.rows.length !== asked.length) throw this.#replica.nonsense('it has another number of rows');
      const rows = told.rows.filter((row) => row !== null);
      return { own, told: this.#byName(rows), settledAt: snapshot.takenAt - this.options.settleMicros };
    });
  }

  /** The deletions that the replica remembers of these keys, each by its place; none of a release that cannot say it. */
  async deletionsOf(keys: readonly string[][]): Promise<readonly (Version | null)[]> {
    const asked = keys.map((key) => parseJson(writeKey(this.table, key)));
    try {
      const { versions } = await this.#broker.steadily(() => this.#replica.ask('deletions', { keys: asked }));
      return versions.map((told) => told && { revision: told[0], incarnation: told[1], updated: told[2] });
    } catch (error) {
      if (error instanceof ReplicaAnswerError) return [];
      throw error;
    }
  }

  /**
   * Asks the replica why it does not store what repairs these rows: reasons by the names of their keys, of at most
   * `MOST_TRIED` rows, the first ones. Undefined when it cannot tell: it is of an earlier release, or has no time.
   */
  async reasonsOf(
    rows: readonly { readonly name: string; readonly key: string[]; readonly withdrawal?: Version | undefined }[],
  ): Promise<ReadonlyMap<string, string> | undefined> {
    const { cqrsId } = this.options;
    const asked = rows.slice(0, MOST_TRIED);
    const keys = asked.filter(({ withdrawal }) => !withdrawal).map(({ key }) => key);
    const synced = await despiteConflicts(() =>
      this.#master.inSnapshot((snapshot) => this.#master.bodiesOf(snapshot, keys)),
    );
    const bodies: string[] = [];
    const names: string[] = [];
    let length = 0;
    for (const { name, key, withdrawal } of asked) {
      const body = withdrawal
        ? withdrawalBody(cqrsId, { pk: writeKey(this.table, key), version: withdrawal })
        : synced.get(name);
      if (body === undefined || (length += body.length) > MOST_TRIED_LENGTH) continue;
      bodies.push(body);
      names.push(name);
    }
    if (bodies.length === 0) return new Map();
    try {
      const { reasons } = await this.#replica.ask('try', { bodies });
      return new Map(names.flatMap((name, index) => (reasons[index] ? [[name, reasons[index]!]] : [])));
    } catch (error) {
      if (error instanceof ReplicaAnswerError) return undefined;
      throw error;
    }
  }

  /** Both anew when the broker is lost meanwhile: the answer of one would be of another time than that of the other. */
  #together<T>(look: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    return this.#broker.steadily(() => despiteConflicts(() => this.#master.inSnapshot(look)));
  }

  /** Tells the replica what has come of it, for those who look there. @returns whether it has heard; what was found stands either way. */
  async conclude(outcome: Omit<Asked<'conclude'>, 'ask' | 'version' | 'cqrsId' | 'timeoutMs'>): Promise<boolean> {
    const timeoutMs = Math.min(this.options.timeoutMs, CONCLUDE_MS);
    try {
      await this.#replica.ask('conclude', outcome, { timeoutMs });
      return true;
    } catch (error) {
      if (error instanceof ReplicaAnswerError) return false;
      throw error;
    }
  }

  #byName(told: Parameters<ReplicaEnd['rows']>[0]): Map<string, ToldRow> {
    return new Map(
      this.#replica.rows(told).map((row) => {
        try {
          readKey(this.table, row.key);
        } catch (error) {
          throw this.#replica.nonsense('a key is none of this table', error);
        }
        return [keyName(row.key), row];
      }),
    );
  }

  #hashing(): { fields: { name: string; kind: string }[]; keyKinds: string[]; incarnations: boolean } {
    const { fields, incarnations } = this.#agreement;
    return {
      fields: fields.map(({ name, kind }) => ({ name, kind })),
      keyKinds: this.table.keyColumns.map(({ kind }) => kind),
      incarnations,
    };
  }

  #checksums(): { checksums: string[] | null } {
    const { checksums } = this.#agreement;
    return { checksums: checksums && [...checksums] };
  }
}

/** Runs both at once, and waits for both whatever becomes of the other. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [one, two] = await Promise.allSettled([first, second]);
  if (one.status === 'rejected') throw one.reason;
  if (two.status === 'rejected') throw two.reason;
  return [one.value, two.value];
}
