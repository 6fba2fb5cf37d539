/**
 * How the masters under test capture their writes, and what follows for the oracle. A new mode is one more entry: nothing
 * else in the campaign asks for its name.
 */

/** Who sends a write. */
export type WriteKind = 'MikroORM' | 'raw SQL' | 'psql' | 'Kysely' | 'cascade';

export interface CaptureMode {
  readonly name: 'driver' | 'trigger';
  /** Writes of these kinds are captured: each committed change has its message. */
  readonly captures: ReadonlySet<WriteKind>;
  /** Writes of these kinds are not captured, and `cqrs.master.uncaptured` says so. What is in neither is silent. */
  readonly tells: ReadonlySet<WriteKind>;
  /**
   * An upsert knows what a row was before only if the row was as it is when the statement began. One that another
   * transaction inserts or changes meanwhile has no former values: `previous_data` is null, and a DELETE may be sent though the row was not replicated.
   */
  readonly upsertsMayMissRows: boolean;
  /** Messages are made after the COMMIT, by the relay. */
  readonly madeLater: boolean;
}

export const MODES = {
  driver: {
    name: 'driver',
    captures: new Set(['MikroORM']),
    tells: new Set(['raw SQL']),
    upsertsMayMissRows: true,
    madeLater: false,
  },
  trigger: {
    name: 'trigger',
    captures: new Set(['MikroORM', 'raw SQL', 'psql', 'Kysely', 'cascade']),
    tells: new Set(),
    upsertsMayMissRows: false,
    madeLater: true,
  },
} as const satisfies Record<string, CaptureMode>;

export function modeNamed(name: string): CaptureMode {
  const mode = (MODES as Record<string, CaptureMode>)[name];
  if (mode) return mode;
  throw new Error(`There is no capture mode '${name}'. Known: ${Object.keys(MODES).join(', ')}.`);
}
