import { MappingError } from '../../kernel/errors.js';
import type { SignalType, Version } from '../../wire/payload.js';
import type { Registry } from '../declare/registry.js';
import type { Outcome, Received } from '../../messaging/inbox/handler.js';
import { mapKey, type MappedRow, mapRow } from './definition/field-mapping.js';
import type { LossyValues } from './table/lossy-values.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';
import type { Incoming } from './rules/revision-rules.js';
import type { SenderTimes } from './sender-times.js';
import { normalizeKey, rowKey, type RowKey } from './definition/row-keys.js';

/**
 * A message that could be mapped: all that is needed to apply it. It and what it holds are of classes, for the reason that
 * `messaging/inbox/message.ts` gives.
 */
export class Prepared {
  constructor(
    /** Its place in the batch. */
    readonly index: number,
    readonly received: Received,
    readonly definition: ReplicaDefinition,
    readonly incoming: Incoming,
    public key: RowKey,
    /** The columns of a SAVE or SYNC; undefined for DELETE, and where the class reads the data itself. */
    readonly row: MappedRow | undefined,
    /** The class's own `cqrsSave` handles it, before any rule. */
    readonly bySave: boolean,
    /** Properties that are left out, because the rows that they refer to have not come. */
    readonly awaited: readonly string[] = [],
  ) {}
}

class Arrived implements Incoming {
  constructor(
    readonly signalType: SignalType,
    readonly version: Version,
    readonly tooOld: boolean,
    readonly committed: number | undefined,
  ) {}
}

export interface PrepareOptions {
  /** Microseconds since 1970. */
  readonly now: number;
  /** How long deletions are remembered, in microseconds; messages older than that create nothing. */
  readonly retention: number;
  /** Whether the class's own `cqrsSave` is asked. */
  readonly bySave: boolean;
  readonly times: SenderTimes;
  readonly lossy: LossyValues;
}

/** Maps a message, or says how it ends without any look at the database. */
export function prepare(
  received: Received,
  index: number,
  replicas: Registry<ReplicaDefinition>,
  options: PrepareOptions,
): Prepared | Outcome {
  const { payload } = received;
  const definition = replicas.get(payload.cqrsId);
  const { statics, overrides } = definition;
  if (payload.signalType === 'SYNC' && statics.CQRS_ONLY_DIRECT_SYNCS && !received.direct) {
    return { kind: 'skipped', reason: 'indirect-sync' };
  }
  options.times.readMessage(definition, payload);
  const version = payload.version;
  const bySave =
    options.bySave && payload.signalType !== 'DELETE' && (overrides.has('cqrsSave') || definition.path === 'none');
  const mapped =
    payload.signalType !== 'DELETE' && !bySave && !statics.CQRS_CUSTOM_SERIALIZATION && definition.path !== 'none';
  try {
    const checks = options.lossy.checksOf(definition);
    const key = definition.path === 'none' ? [] : mapKey(definition, payload, checks);
    const { texts } = payload;
    const row = mapped ? mapRow(definition, payload.instanceData, key, { texts, checks }) : undefined;
    const verdict = row && options.lossy.verdict(definition, row);
    if (verdict) return verdict;
    return new Prepared(
      index,
      received,
      definition,
      new Arrived(
        payload.signalType,
        version,
        isTooOld(received, version.updated, options),
        received.committedAt === null ? undefined : received.committedAt.getTime() * 1000,
      ),
      rowKey(definition.path === 'none' ? [] : normalizeKey(definition, key)),
      row,
      bySave,
    );
  } catch (error) {
    if (error instanceof MappingError) return { kind: 'dead-letter', reason: error.code, error };
    throw error;
  }
}

export function isOutcome(value: Prepared | Outcome): value is Outcome {
  return 'kind' in value;
}

// A SYNC is young however old its row is; without the time of its commit only a time limit long past gives it away.
function isTooOld({ payload, committedAt }: Received, updated: number, { now, retention }: PrepareOptions): boolean {
  const born =
    committedAt !== null
      ? committedAt.getTime() * 1000
      : payload.signalType !== 'SYNC'
        ? updated
        : payload.expires !== null
          ? payload.expires.getTime() * 1000
          : now;
  return born < now - retention;
}
