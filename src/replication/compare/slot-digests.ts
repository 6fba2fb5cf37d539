/** What one end has in each slot: how many rows, and the sum of their hashes modulo 2^64. */
export class SlotDigests {
  readonly #sums: BigUint64Array;
  readonly #counts: Uint32Array;
  #rows = 0;

  /** @param bits there are 2^bits slots. */
  constructor(readonly bits: number) {
    this.#sums = new BigUint64Array(2 ** bits);
    this.#counts = new Uint32Array(2 ** bits);
  }

  get rows(): number {
    return this.#rows;
  }

  add(slot: number, count: number, sum: bigint): void {
    this.#sums[slot] = BigInt.asUintN(64, this.#sums[slot]! + sum);
    this.#counts[slot]! += count;
    this.#rows += count;
  }

  /** The slots of one group, twelve bytes each (hash, count), in base64. A group is the slots with the same first bits. */
  pack(group: number, groupBits: number): string {
    const size = 2 ** (this.bits - groupBits);
    const bytes = Buffer.alloc(BYTES * size);
    for (let index = 0; index < size; index++) {
      const slot = group * size + index;
      bytes.writeBigUInt64BE(this.#sums[slot]!, index * BYTES);
      bytes.writeUInt32BE(this.#counts[slot]!, index * BYTES + 8);
    }
    return bytes.toString('base64');
  }

  /**
   * The slots of a group in which the other end, which has packed it, has something else, with the number of rows of the
   * end that has more there; undefined when it cannot be that group.
   */
  compare(group: number, groupBits: number, packed: string): DifferentSlot[] | undefined {
    const size = 2 ** (this.bits - groupBits);
    const bytes = Buffer.from(packed, 'base64');
    if (bytes.length !== BYTES * size) return undefined;
    const different: DifferentSlot[] = [];
    for (let index = 0; index < size; index++) {
      const slot = group * size + index;
      const count = bytes.readUInt32BE(index * BYTES + 8);
      if (bytes.readBigUInt64BE(index * BYTES) === this.#sums[slot] && count === this.#counts[slot]) continue;
      different.push({ slot, rows: Math.max(count, this.#counts[slot]!) });
    }
    return different;
  }
}

const BYTES = 12;

export interface DifferentSlot {
  readonly slot: number;
  readonly rows: number;
}

/** How finely a table of so many rows is cut: about sixteen rows a slot, and as many groups as there are slots in one. */
export function cutFor(rows: number): { bits: number; groupBits: number } {
  const bits = Math.min(16, Math.max(4, Math.ceil(Math.log2(Math.max(1, rows) / 16))));
  return { bits, groupBits: Math.ceil(bits / 2) };
}

/** For an end that cannot hash: every slot, as if rows were spread evenly. */
export function everySlot(bits: number, rows: number): DifferentSlot[] {
  const each = Math.ceil(rows / 2 ** bits);
  return Array.from({ length: 2 ** bits }, (_, slot) => ({ slot, rows: each }));
}

/** Slots together, of about so many rows. */
export function* inBatches(slots: readonly DifferentSlot[], rows: number): Generator<readonly DifferentSlot[]> {
  let batch: DifferentSlot[] = [];
  let sum = 0;
  for (const slot of slots) {
    if (batch.length > 0 && sum + slot.rows > rows) {
      yield batch;
      [batch, sum] = [[], 0];
    }
    batch.push(slot);
    sum += slot.rows;
  }
  if (batch.length > 0) yield batch;
}
