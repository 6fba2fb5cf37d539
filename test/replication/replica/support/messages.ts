import { type SignalType, TransportPayload } from '../../../../src/wire/payload.js';
import { formatMicroseconds } from '../../../../src/wire/times.js';
import { type WireObject } from '../../../../src/wire/values.js';
import type { Outcome, Received } from '../../../../src/messaging/inbox/handler.js';

/** Microseconds since 1970 of this file's beginning; messages are dated from here. */
export const START = Date.now() * 1000 - 60_000_000;

export interface MessageOptions {
  cqrsId?: string;
  signal?: SignalType;
  incarnation?: number | null;
  revision?: number;
  /** Microseconds since 1970. Default: START plus a millisecond a revision. */
  updated?: number;
  direct?: boolean;
  expired?: boolean;
  /** Default: this file's beginning, before anything that is stored. */
  committedAt?: Date | null;
  previous?: WireObject | null;
  meta?: WireObject;
  expires?: Date | null;
}

/** A message about a row as it reaches the applier. `data` has the fields without the version. */
export function message(data: WireObject, options: MessageOptions = {}): Received {
  const { cqrsId = 'account', signal = 'SAVE', incarnation = 1, revision = 0 } = options;
  const updated = options.updated ?? START + revision * 1000;
  return {
    payload: new TransportPayload({
      signalType: signal,
      cqrsId,
      instanceData: { ...data, cqrs_revision: revision, cqrs_updated: formatMicroseconds(updated) },
      instancePk: (data['id'] ?? null) as string,
      previousData: options.previous ?? null,
      meta: options.meta,
      expires: options.expires ?? null,
      incarnation,
    }),
    committedAt: options.committedAt === undefined ? new Date(START / 1000) : options.committedAt,
    direct: options.direct ?? false,
    expired: options.expired ?? false,
  };
}

/** Outcomes in short: `create`, `stale`, `dead-letter mapping`, `failed foreign-key` … */
export function brief(outcomes: readonly Outcome[]): string[] {
  return outcomes.map((outcome) => {
    switch (outcome.kind) {
      case 'applied':
        return outcome.action;
      case 'skipped':
        return outcome.reason;
      case 'dead-letter':
        return `dead-letter ${outcome.reason}`;
      case 'failed':
        return `failed ${outcome.reason ?? outcome.error.message}`;
    }
  });
}
