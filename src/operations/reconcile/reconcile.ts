import { differentFields } from '../../replication/compare/checksum.js';
import { readKey, writeKey } from '../../replication/compare/keyed-table.js';
import { cutFor, type DifferentSlot, everySlot, inBatches } from '../../replication/compare/slot-digests.js';
import { mostKeysWithFields } from '../../replication/compare/protocol.js';
import { describeError } from '../../kernel/describe-error.js';
import { pause } from '../../kernel/service.js';
import { parseJson, type WireValue } from '../../wire/values.js';
import type { Cqrs } from '../../cqrs.js';
import { BothEnds, type Rows } from './both-ends.js';
import { BrokerPresence } from './broker-presence.js';
import { KeptBack } from './kept-back.js';
import type { OwnRow } from './master-end.js';
import type { ToldRow } from './replica-end.js';
import type { ReconciledRow, ReconcileProgress, ReconcileReport } from './report.js';
import { confirm, type Difference, isBuried, judge } from './row-verdict.js';

/**
 * Compares the rows of a master with those of one replica, over the broker, and repairs what differs.
 *
 *   agree ─▶ sieve ─────────▶ list ───────────▶ wait ─▶ confirm ─▶ repair ──────────▶ verify
 *   fields   hashes of slots  rows of the       what is in         SYNC, DELETE to    until the replica
 *            that differ      slots that differ flight arrives     that queue alone   has them
 *
 * Nothing stands still meanwhile. A row is different only if it is so at two looks, between which messages have had time
 * to arrive, and if it was not changed a moment ago; and what is sent goes by the revision rules, as any message does: a
 * newer state stays, and so does a new incarnation of a key. What a replica answers leads to messages to its own queue alone.
 */

export interface ReconcileOptions {
  readonly cqrsId: string;
  /** The queue of the replica. */
  readonly queue: string;
  /** Only these keys, as they travel (`7`, `"b1c…"`, `[7,"b"]`); default: every row. */
  readonly keys?: readonly WireValue[] | undefined;
  /** The fields whose content is compared, by their names on the wire. Default: all that are sent and that the replica has. */
  readonly fields?: readonly string[] | undefined;
  /**
   * The replica's database was restored from a backup, perhaps one of another time than the master's: rows that it has in a later
   * state than the master begin a new incarnation there, of which all replicas are told. Default false: they are left alone.
   */
  readonly restored?: boolean | undefined;
  /** Report only; default false. */
  readonly dryRun?: boolean | undefined;
  /** Rows changed less than this many seconds ago are no difference, nor is what has changed after so many more; default 5. */
  readonly settleSeconds?: number | undefined;
  /** How long the replica may take for one answer, and for what was sent to be applied; default 60. */
  readonly timeoutSeconds?: number | undefined;
  /** How many differences the report names; default 100. */
  readonly sampleSize?: number | undefined;
  readonly onProgress?: ((progress: ReconcileProgress) => void) | undefined;
  /** Is told of a row whose serializer failed: its content is not compared. */
  readonly onFailure?: ((key: string, reason: string) => void) | undefined;
  /** Aborted: what is in hand is finished, and the report says that it was stopped. */
  readonly signal?: AbortSignal | undefined;
}

const SETTLE_SECONDS = 5;
const TIMEOUT_SECONDS = 60;
const SAMPLE_SIZE = 100;
/** Rows that are listed at a time. */
const LIST_ROWS = 20_000;
/** Candidates that are confirmed and repaired together. */
const REPAIR_ROWS = 20_000;
const KEYS_AT_A_TIME = 1_000;
const LOOK_EVERY_MS = 100;
/** A pause between two looks after which the replica is asked why. */
const ASK_AFTER_MS = 800;

/** @throws UnknownCqrsIdError, InputError, and ReplicaAnswerError when the replica does not answer, or cannot. */
export async function reconcile(cqrs: Cqrs, options: ReconcileOptions): Promise<ReconcileReport> {
  using broker = new BrokerPresence(cqrs.events, options.signal);
  return await new Reconciliation(cqrs, options, broker).run();
}

/** A row that seemed different, as it was seen. */
interface Candidate {
  readonly name: string;
  readonly pk: WireValue;
  readonly master: OwnRow | undefined;
  readonly replica: ToldRow | undefined;
}

interface Confirmed extends Candidate {
  readonly difference: Difference;
}

class Reconciliation {
  readonly #ends: BothEnds;
  readonly #settleMicros: number;
  readonly #timeoutMs: number;
  readonly #counts = { missing: 0, extra: 0, stale: 0, damaged: 0, ahead: 0 };
  readonly #sums = { masterRows: 0, replicaRows: 0, unsettled: 0, repaired: 0, unrepaired: 0, failed: 0 };
  readonly #repairs = { messages: 0, bytes: 0 };
  readonly #sample: ReconciledRow[] = [];
  readonly #keptBack: KeptBack;
  #told = false;
  #candidates: Candidate[] = [];

  constructor(
    private readonly cqrs: Cqrs,
    private readonly options: ReconcileOptions,
    private readonly broker: BrokerPresence,
  ) {
    const { onFailure } = options;
    this.#timeoutMs = Math.max(1, Math.ceil((options.timeoutSeconds ?? TIMEOUT_SECONDS) * 1_000));
    this.#settleMicros = (options.settleSeconds ?? SETTLE_SECONDS) * 1_000_000;
    this.#ends = new BothEnds(cqrs, {
      ...options,
      timeoutMs: this.#timeoutMs,
      settleMicros: this.#settleMicros,
      broker,
      onFailure: (key, reason) => {
        this.#sums.failed++;
        onFailure?.(key, reason);
      },
    });
    this.#keptBack = new KeptBack(this.#ends);
  }

  async run(): Promise<ReconcileReport> {
    const startedAt = performance.now();
    const { keys } = this.options;
    const wanted = keys?.map((key) => readKey(this.#ends.table, key));
    await this.cqrs.connect();
    try {
      // What was changed before it begins is settled then: a backup may be put back at once.
      if (this.options.restored) await this.#untilArrived(0);
      const { replicaRows } = await this.#ends.agree();
      if (!this.options.dryRun) await this.#raiseIncarnations();
      if (wanted) await this.#lookAt(wanted);
      else await this.#sieve(replicaRows);
      await this.#settleCandidates();
      if (!this.#stopped) await this.#conclude(wanted === undefined);
    } catch (error) {
      if (!this.#stopped) throw error; // whoever stops it gives up the question in hand, too
    }
    return this.#report(startedAt);
  }

  /** What the replica has of a master that was restored, or whose clock was ahead, must not be greater than what follows. */
  async #raiseIncarnations(): Promise<void> {
    const greatest = await this.#ends.greatestIncarnation();
    if (greatest !== null) await this.cqrs.masterRuntime.raiseIncarnations(greatest);
  }

  async #conclude(whole: boolean): Promise<void> {
    const { masterRows, replicaRows, repaired } = this.#sums;
    this.#told = await this.#ends.conclude({ whole, masterRows, replicaRows, ...this.#counts, repaired });
  }

  get #stopped(): boolean {
    return this.options.signal?.aborted === true;
  }

  /** Every row: hashes first, and then only what they cannot rule out. */
  async #sieve(replicaRows: number): Promise<void> {
    const masterRows = await this.#ends.countOwn();
    const rows = Math.max(masterRows, replicaRows);
    const { bits, groupBits } = cutFor(rows);
    Object.assign(this.#sums, { masterRows, replicaRows });
    this.#progress('comparing', 0, masterRows);
    if (this.#ends.isBlind) return this.#list(bits, everySlot(bits, rows));
    const onProgress = (done: number): void => this.#progress('comparing', done, masterRows);
    const groups = await this.#ends.different({ bits: groupBits, groupBits: 0, groups: [0] }, onProgress);
    if (groups.length === 0 || this.#stopped) return;
    const inside = groups.map(({ slot }) => slot);
    await this.#list(bits, await this.#ends.different({ bits, groupBits, groups: inside }, onProgress));
  }

  async #list(bits: number, slots: readonly DifferentSlot[]): Promise<void> {
    const total = slots.reduce((sum, { rows }) => sum + rows, 0);
    let done = 0;
    for (const batch of inBatches(slots, LIST_ROWS)) {
      if (this.#stopped) return;
      this.#progress('listing', done, total);
      this.#compare(
        await this.#ends.rowsIn(
          bits,
          batch.map(({ slot }) => slot),
        ),
      );
      done += batch.reduce((sum, { rows }) => sum + rows, 0);
      this.#progress('listing', done, total);
      if (this.#candidates.length >= REPAIR_ROWS) await this.#settleCandidates();
    }
  }

  /** Chosen keys alone. */
  async #lookAt(keys: readonly string[][]): Promise<void> {
    for (let start = 0; start < keys.length && !this.#stopped; start += KEYS_AT_A_TIME) {
      const rows = await this.#ends.rowsOf(keys.slice(start, start + KEYS_AT_A_TIME));
      this.#sums.masterRows += rows.own.size;
      this.#sums.replicaRows += rows.told.size;
      this.#compare(rows);
    }
  }

  #compare({ own, told, settledAt }: Rows): void {
    for (const name of new Set([...own.keys(), ...told.keys()])) {
      const candidate = { master: own.get(name), replica: told.get(name) };
      const verdict = judge(candidate.master, candidate.replica, settledAt);
      if (verdict === 'unsettled') this.#sums.unsettled++;
      else if (verdict !== 'equal') {
        const pk = candidate.master ? parseJson(candidate.master.pk) : candidate.replica!.key;
        this.#candidates.push({ ...candidate, name, pk });
      }
    }
  }

  /** Confirms what has been found so far, repairs it, and forgets it. */
  async #settleCandidates(): Promise<void> {
    const candidates = this.#candidates;
    this.#candidates = [];
    if (candidates.length === 0) return;
    await this.#untilArrived(candidates.length);
    for (let start = 0; start < candidates.length && !this.#stopped;) {
      this.#progress('repairing', start, candidates.length);
      const each = this.#sample.length < this.#sampleSize;
      const most = each ? mostKeysWithFields(this.#ends.compared.fields?.length ?? 0) : KEYS_AT_A_TIME;
      const confirmed = await this.#confirm(candidates.slice(start, start + most), each);
      start += most;
      for (const { difference } of confirmed) this.#counts[difference]++;
      const still = this.options.dryRun ? undefined : await this.#repair(confirmed);
      for (const row of confirmed) this.#note(row, still);
      this.#progress('repairing', Math.min(start, candidates.length), candidates.length);
    }
  }

  /** Gives messages that are under way their time: what the outbox and the queue hold now, and then the settle time. */
  async #untilArrived(candidates: number): Promise<void> {
    const startedAt = performance.now();
    const { queue, signal = new AbortController().signal } = this.options;
    this.#progress('waiting', 0, candidates);
    if (this.#settleMicros === 0) return;
    await pause(this.#settleMicros / 1_000, signal);
    while (!signal.aborted && performance.now() - startedAt < this.#timeoutMs) {
      const waiting = (await this.broker.steadily(() => this.cqrs.transport.inspect(queue)))?.messages ?? 0;
      const outbox = await this.cqrs.outboxState();
      const oldest = outbox?.oldestAgeMs ?? 0;
      if (waiting === 0 && oldest < performance.now() - startedAt) return;
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  /** @param each whether the fields that differ are to be known. */
  async #confirm(candidates: readonly Candidate[], each: boolean): Promise<Confirmed[]> {
    const keys = candidates.map((row) => this.#keyOf(row));
    const { own, told, settledAt } = await this.#ends.rowsOf(keys, { each });
    const confirmed: Confirmed[] = [];
    for (const first of candidates) {
      const { name } = first;
      const second = { master: own.get(name), replica: told.get(name) };
      const verdict = confirm(first, {
        verdict: judge(second.master, second.replica, settledAt),
        replica: second.replica,
      });
      if (verdict === 'equal' || verdict === 'unsettled') this.#sums.unsettled++;
      else confirmed.push({ ...first, ...second, difference: verdict });
    }
    const missing = confirmed.filter(({ difference }) => difference === 'missing');
    if (missing.length === 0) return confirmed;
    const deletions = await this.#ends.deletionsOf(missing.map((row) => this.#keyOf(row)));
    const buried = new Set(
      missing.filter(({ master }, index) => deletions[index] && isBuried(master!.version, deletions[index])),
    );
    return confirmed.map((row) => (buried.has(row) ? { ...row, difference: 'ahead' } : row));
  }

  #keyOf({ pk }: Candidate): string[] {
    return readKey(this.#ends.table, pk);
  }

  /** Repairs what differs; answers with the names of those that the replica still does not have. */
  async #repair(confirmed: readonly Confirmed[]): Promise<ReadonlySet<string>> {
    this.#keptBack.forget();
    const ahead = confirmed.filter(({ difference }) => difference === 'ahead');
    const rows = confirmed.filter(({ difference }) => difference !== 'ahead');
    const still = await this.#send(rows);
    const left = this.options.restored ? await this.#beginAnew(ahead) : ahead.map(({ name }) => name);
    return new Set([...still, ...left]);
  }

  /** Gives rows a new incarnation, which is later than whatever a replica has of them. */
  async #beginAnew(rows: readonly Confirmed[]): Promise<ReadonlySet<string>> {
    if (rows.length === 0 || this.#stopped) return new Set(rows.map(({ name }) => name));
    const { cqrsId, onFailure, signal } = this.options;
    await this.cqrs.sync({
      cqrsId,
      keys: rows.map(({ master }) => master!.key),
      newIncarnation: true,
      onFailure: (key, error) => onFailure?.(writeKey(this.#ends.table, key), describeError(error)),
      signal,
    });
    return this.#untilRepaired(rows);
  }

  /** Sends what differs to that replica alone; answers with the names of those that it still does not have. */
  async #send(rows: readonly Confirmed[]): Promise<ReadonlySet<string>> {
    if (rows.length === 0) return new Set();
    const { cqrsId, queue, onFailure, signal } = this.options;
    const extra = rows.filter(({ difference }) => difference === 'extra');
    const sent = await this.cqrs.repair({
      cqrsId,
      queue,
      keys: rows.filter((row) => !extra.includes(row)).map(({ master }) => master!.key),
      withdrawals: extra.map((row) => {
        const key = this.#keyOf(row);
        return { key, pk: writeKey(this.#ends.table, key), version: row.replica!.version };
      }),
      onFailure: (key, error) => onFailure?.(writeKey(this.#ends.table, key), describeError(error)),
      signal,
    });
    this.#repairs.messages += sent.messages;
    this.#repairs.bytes += sent.bytes;
    return this.#untilRepaired(rows);
  }

  async #untilRepaired(rows: readonly Confirmed[]): Promise<ReadonlySet<string>> {
    const deadline = performance.now() + this.#timeoutMs;
    const { signal = new AbortController().signal } = this.options;
    let left = rows;
    let asks = true;
    for (let waitMs = LOOK_EVERY_MS; ; waitMs = Math.min(2 * waitMs, 2_000)) {
      const { own, told, settledAt } = await this.#ends.rowsOf(left.map((row) => this.#keyOf(row)));
      left = left.filter(({ name }) => {
        const verdict = judge(own.get(name), told.get(name), settledAt);
        return verdict !== 'equal' && verdict !== 'unsettled';
      });
      // What was sent has had its time; what the replica does not want will not come.
      if (left.length > 0 && waitMs >= ASK_AFTER_MS && asks && !signal.aborted) {
        const asked = left.map((row) => {
          const withdrawal = row.difference === 'extra' ? row.replica!.version : undefined;
          return { name: row.name, key: this.#keyOf(row), withdrawal };
        });
        asks = await this.#keptBack.ask(asked, deadline);
        left = left.filter(({ name }) => this.#keptBack.reasonOf(name) === undefined);
      }
      if (left.length === 0 || signal.aborted || performance.now() > deadline) {
        const still = rows.filter(({ name }) => this.#keptBack.reasonOf(name) !== undefined);
        return new Set([...left, ...still].map(({ name }) => name));
      }
      await pause(waitMs, signal);
    }
  }

  #note({ name, pk, difference, master, replica }: Confirmed, still: ReadonlySet<string> | undefined): void {
    const outcome = still === undefined ? 'reported' : still.has(name) ? 'unrepaired' : 'repaired';
    if (outcome !== 'reported') this.#sums[outcome]++;
    if (this.#sample.length >= this.#sampleSize) return;
    const { fields: compared } = this.#ends.compared;
    const known = compared && master?.checksum && replica?.checksum;
    this.#sample.push({
      key: pk,
      difference,
      master: master?.version ?? null,
      replica: replica?.version ?? null,
      fields: known ? differentFields(master.checksum!, replica.checksum!, compared) : null,
      outcome,
      reason: still?.has(name) ? this.#keptBack.reasonOf(name) : undefined,
    });
  }

  get #sampleSize(): number {
    return this.options.sampleSize ?? SAMPLE_SIZE;
  }

  #progress(phase: ReconcileProgress['phase'], done: number, total: number): void {
    this.options.onProgress?.({ phase, done, total });
  }

  #report(startedAt: number): ReconcileReport {
    const { cqrsId, queue } = this.options;
    const durationMs = Math.round(performance.now() - startedAt);
    this.cqrs.events.emit('cqrs.master.reconciled', {
      cqrsId,
      queue,
      ...this.#counts,
      repaired: this.#sums.repaired,
      told: this.#told,
      durationMs,
    });
    return {
      cqrsId,
      queue,
      ...this.#ends.compared,
      ...this.#sums,
      ...this.#counts,
      changedLately: this.#ends.changedLately,
      reasons: this.#keptBack.reasons,
      sample: this.#sample,
      traffic: {
        ...this.#ends.traffic,
        repairs: this.#repairs.messages,
        repairBytes: this.#repairs.bytes,
      },
      durationMs,
      stopped: this.#stopped,
    };
  }
}
