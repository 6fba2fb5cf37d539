import { checksum, fieldChecksums } from '../../replication/compare/checksum.js';
import { findRows } from '../../replication/compare/find-rows.js';
import { type KeyedTable, writeKey } from '../../replication/compare/keyed-table.js';
import {
  CANONICAL_SETTINGS,
  type DigestColumn,
  type DigestPlan,
  digestStatement,
  hashExpression,
  rowsStatement,
  slotExpression,
} from '../../replication/compare/row-digest.js';
import { SlotDigests } from '../../replication/compare/slot-digests.js';
import { quoted } from '../../postgres/identifiers.js';
import { describeError } from '../../kernel/describe-error.js';
import { bodyOf, SignalType } from '../../wire/payload.js';
import { formatMicroseconds, parseMicroseconds } from '../../wire/times.js';
import { parseJson, type WireKind } from '../../wire/values.js';
import type { Cqrs } from '../../cqrs.js';
import { type MasterDefinition, UPDATED } from '../../replication/master/definition/master-table.js';
import { masterTable } from '../keyed-table.js';
import { type MasterRow, MasterRows } from '../master-rows.js';
import { keyName } from './replica-end.js';
import type { EndRow } from './row-verdict.js';
import { inSnapshot, keyPages, type Snapshot } from '../snapshot.js';

/** A master's row as it is compared. */
export interface OwnRow extends EndRow {
  /** As PostgreSQL prints it. */
  readonly key: readonly string[];
  /** As it travels. */
  readonly pk: string;
}

/** What is compared, as both ends have agreed on it. */
export interface Agreement {
  /** The fields whose columns are hashed in SQL, with the kind that the replica has for each. */
  readonly fields: readonly { readonly name: string; readonly kind: WireKind; readonly other: string }[];
  readonly keyKinds: readonly string[];
  readonly incarnations: boolean;
  /** The fields of the checksums of single rows; null: compare versions only. */
  readonly checksums: readonly string[] | null;
}

const PAGE = 1_000;
const SELECTIVE_PAGE = 5_000;
/** More than any slot has. */
const MOST = 2 ** 31 - 1;

/** The master's own rows, looked at in the same way as the replica looks at its own. */
export class MasterEnd {
  readonly table: KeyedTable;
  readonly definition: MasterDefinition;

  /** @throws UnknownCqrsIdError */
  constructor(
    private readonly cqrs: Cqrs,
    private readonly cqrsId: string,
    private readonly onFailure: (key: string, reason: string) => void,
  ) {
    this.table = masterTable(cqrs, cqrsId);
    this.definition = cqrs.masters.get(cqrsId);
  }

  /** Runs the work in a snapshot whose values print as they do on the other end. */
  inSnapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    return inSnapshot(this.cqrs, async (snapshot) => {
      await snapshot.session.run(CANONICAL_SETTINGS);
      return work(snapshot);
    });
  }

  /** The hashes of the slots in these groups. In SQL, unless user code says which rows replicas are to have. */
  async digests(
    snapshot: Snapshot,
    agreement: Agreement,
    where: { bits: number; groupBits: number; groups: readonly number[]; settledAt: number },
    onProgress: (rows: number) => void,
  ): Promise<SlotDigests> {
    const plan = this.#plan(agreement, where.bits);
    const digests = new SlotDigests(where.bits);
    const rows = new MasterRows(this.cqrs, snapshot, this.cqrsId);
    if (rows.isSelective) {
      await this.#digestSelected(snapshot, rows, plan, { ...where, digests, onProgress });
      return digests;
    }
    const settledAt = formatMicroseconds(where.settledAt);
    for (const { slot, count, sum } of await snapshot.session.run(digestStatement(plan, { ...where, settledAt }))) {
      digests.add(Number(slot), Number(count), BigInt(sum!));
    }
    onProgress(digests.rows);
    return digests;
  }

  /** How many rows were changed later, of which the hashes say nothing. */
  async changedSince({ session }: Snapshot, settledAt: number): Promise<number> {
    const [row] = await session.run({
      text: `select count(*)::text as rows from ${this.table.name} t where t.${UPDATED} > $1::timestamptz`,
      parameters: [formatMicroseconds(settledAt)],
    });
    return Number(row!['rows']);
  }

  /** The rows in these slots, by the names of their keys. */
  async rowsIn(
    snapshot: Snapshot,
    agreement: Agreement,
    { bits, slots }: { bits: number; slots: readonly number[] },
  ): Promise<Map<string, OwnRow>> {
    const keys = this.table.keyColumns.map(({ field }) => `t.${quoted(field)}`);
    const found = await snapshot.session.run(rowsStatement(this.#plan(agreement, bits), slots, keys, MOST));
    return this.#look(
      snapshot,
      agreement,
      found.map((row) => keys.map((_, index) => row[`v${index}`]!)),
      false,
    );
  }

  /** The rows with these keys, each part as PostgreSQL reads it, by the names of their keys. */
  async rowsOf(
    snapshot: Snapshot,
    agreement: Agreement,
    keys: readonly (readonly string[])[],
    each: boolean,
  ): Promise<Map<string, OwnRow>> {
    return this.#look(snapshot, agreement, keys, each);
  }

  /** What a SYNC of these rows would say now, by the names of their keys; a row whose own code fails is left out. */
  async bodiesOf(snapshot: Snapshot, keys: readonly (readonly string[])[]): Promise<Map<string, string>> {
    const rows = new MasterRows(this.cqrs, snapshot, this.cqrsId);
    const bodies = new Map<string, string>();
    for (const { key, image, data, texts } of await rows.find(keys)) {
      const pk = writeKey(this.table, key);
      const instanceData = await data().catch(() => undefined);
      if (instanceData === undefined) continue;
      const incarnation = this.definition.table.value(image, 'cqrs_incarnation');
      const body = bodyOf({
        signalType: SignalType.SYNC,
        cqrsId: this.cqrsId,
        instanceData,
        previousData: 'null',
        instancePk: pk,
        correlationId: 'null',
        meta: '{}',
        incarnation: incarnation === null ? null : this.definition.table.incarnation(image),
        texts: texts(),
      });
      bodies.set(keyName(parseJson(pk)), body);
    }
    return bodies;
  }

  async #look(
    snapshot: Snapshot,
    agreement: Agreement,
    keys: readonly (readonly string[])[],
    each: boolean,
  ): Promise<Map<string, OwnRow>> {
    const rows = new MasterRows(this.cqrs, snapshot, this.cqrsId);
    const found = new Map<string, OwnRow>();
    for (let start = 0; start < keys.length; start += PAGE) {
      for (const row of await rows.find(keys.slice(start, start + PAGE))) {
        const own = await this.#read(row, agreement, each);
        found.set(keyName(parseJson(own.pk)), own);
      }
    }
    return found;
  }

  async #read(row: MasterRow, { checksums }: Agreement, each: boolean): Promise<OwnRow> {
    const { table } = this.definition;
    const { key, image } = row;
    const pk = writeKey(this.table, key);
    const version = {
      incarnation: table.value(image, 'cqrs_incarnation') === null ? null : table.incarnation(image),
      revision: table.revision(image),
      updated: parseMicroseconds(table.value(image, UPDATED)) ?? 0,
    };
    return { key, pk, version, checksum: checksums && (await this.#checksum(row, pk, checksums, each)) };
  }

  async #checksum(row: MasterRow, pk: string, fields: readonly string[], each: boolean): Promise<string | null> {
    try {
      return (each ? fieldChecksums : checksum)(await row.content(), fields);
    } catch (error) {
      this.onFailure(pk, describeError(error));
      return null;
    }
  }

  async #digestSelected(
    snapshot: Snapshot,
    rows: MasterRows,
    plan: DigestPlan,
    {
      groupBits,
      groups,
      settledAt,
      digests,
      onProgress,
    }: {
      groupBits: number;
      groups: readonly number[];
      settledAt: number;
      digests: SlotDigests;
      onProgress: (rows: number) => void;
    },
  ): Promise<void> {
    const wanted = new Set(groups);
    const expressions = [slotExpression(plan), hashExpression(plan)];
    let processed = 0;
    for await (const page of keyPages(snapshot, this.table, { pageSize: SELECTIVE_PAGE, columns: [UPDATED] })) {
      const settled = page
        .filter(({ values }) => (parseMicroseconds(values[0]) ?? 0) <= settledAt)
        .map(({ key }) => key);
      const hashed = await findRows(snapshot.session, this.table, settled, expressions);
      const inside = settled.flatMap((key, index) => {
        const [slot, hash] = hashed[index]!;
        const isWanted = groupBits === 0 || wanted.has(Number(slot) >> (plan.bits - groupBits));
        return isWanted ? [{ key, slot: Number(slot), hash: BigInt(hash!) }] : [];
      });
      const replicated = new Set((await rows.find(inside.map(({ key }) => key))).map(({ key }) => JSON.stringify(key)));
      for (const { key, slot, hash } of inside) if (replicated.has(JSON.stringify(key))) digests.add(slot, 1, hash);
      onProgress((processed += page.length));
    }
  }

  #plan({ fields, keyKinds, incarnations }: Agreement, bits: number): DigestPlan {
    const { announced } = this.definition;
    return {
      table: this.table.name,
      keys: this.table.keyColumns.map(({ field, kind }, index) => ({
        expression: `t.${quoted(field)}`,
        kind,
        other: keyKinds[index]!,
      })),
      fields: fields.map(({ name, other }): DigestColumn => {
        const { field, type, kind } = announced.find(({ wire }) => wire === name)!;
        const own = `t.${quoted(field)}`;
        return { expression: /^inet$/i.test(type) ? `abbrev(${own})` : own, kind, other };
      }),
      bits,
      incarnations,
    };
  }
}
