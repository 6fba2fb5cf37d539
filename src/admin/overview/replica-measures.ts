import type { Cqrs } from '../../cqrs.js';
import type { ReplicaDefinition } from '../../replication/replica/definition/replica-definition.js';
import type { ReplicaState } from '../contract.js';
import { ApiProblem } from '../http/api-problem.js';
import { readSession } from '../http/read-session.js';
import { isoTimeOrNull } from '../http/times.js';
import { conditionsOf } from '../rows/row-conditions.js';
import { countRows } from '../rows/rows.js';
import type { BrowsableTable, BrowsableTables } from '../rows/tables.js';

const TIMEOUT_MS = 1_500;
/** Counting a large table again and again would cost more than it tells. */
const FRESH_MS = 10_000;

type Measured = Pick<ReplicaState, 'rows' | 'lastUpdated'>;

export class ReplicaMeasures {
  readonly #known = new Map<string, { readonly at: number; readonly measured: Promise<Measured> }>();

  constructor(private readonly parts: { readonly cqrs: Cqrs; readonly tables: BrowsableTables }) {}

  measure(definition: ReplicaDefinition): Promise<Measured> {
    const known = this.#known.get(definition.cqrsId);
    if (known && performance.now() - known.at < FRESH_MS) return known.measured;
    const measured = this.#measure(definition);
    measured.catch(() => this.#known.delete(definition.cqrsId));
    this.#known.set(definition.cqrsId, { at: performance.now(), measured });
    return measured;
  }

  async #measure({ cqrsId, path }: ReplicaDefinition): Promise<Measured> {
    const { cqrs, tables } = this.parts;
    const table = await tables.replica(cqrsId);
    if (path === 'none' || table.whyNoRows !== null) return { rows: { count: null, exact: false }, lastUpdated: null };
    return { rows: await countRows(cqrs, table, {}), lastUpdated: await newest(cqrs, table) };
  }
}

async function newest(cqrs: Cqrs, table: BrowsableTable): Promise<string | null> {
  try {
    return await readSession(cqrs, TIMEOUT_MS, async ({ session }) => {
      const { text, parameters } = conditionsOf(table, {});
      const [row] = await session.run({
        text: `select max(cqrs_updated)::text as last from ${table.name} t where ${text}`,
        parameters,
      });
      return isoTimeOrNull(row?.['last']);
    });
  } catch (error) {
    if (error instanceof ApiProblem && error.code === 'timeout') return null;
    throw error;
  }
}
