import { InputError } from '../kernel/errors.js';
import { TimeZone } from '../kernel/time-zone.js';
import { formatMicroseconds, parseMicroseconds } from '../wire/times.js';

/**
 * The first line of the streams that compare a master with a replica, fields apart by commas, as in django-cqrs:
 *
 *   <id>,<time>[,checksums=<field>+<field>…][,<queue>]
 *
 * Each command repeats what it does not know. The queue is the last one and added by the replica, `None` for none.
 */
export interface StreamHeader {
  readonly line: string;
  readonly cqrsId: string;
  /** When the first command read its table, in microseconds since 1970 by the clock of its database. */
  readonly takenAt: number;
  /** The fields that checksums were made of; undefined when there are none. */
  readonly checksums: readonly string[] | undefined;
  /** Null: to all replicas. Undefined: no replica has added its queue. */
  readonly queue: string | null | undefined;
}

const CHECKSUMS = 'checksums=';

export function writeHeader(cqrsId: string, takenAt: number, checksums?: readonly string[]): string {
  return [cqrsId, formatMicroseconds(takenAt), ...(checksums ? [`${CHECKSUMS}${checksums.join('+')}`] : [])].join(',');
}

/** @param zone where a time without an offset is from; null: UTC. @throws InputError when it is none. */
export function readHeader(line: string, zone: string | null = null): StreamHeader {
  const [cqrsId, time, ...others] = line.split(',');
  const takenAt = parseMicroseconds(zone === null || time === undefined ? time : new TimeZone(zone).place(time));
  if (!cqrsId || takenAt === undefined)
    throw new InputError('line 1 is no header of the form <id>,<time>.', 'Which command wrote it?');
  const checksums = others
    .find((field) => field.startsWith(CHECKSUMS))
    ?.slice(CHECKSUMS.length)
    .split('+');
  const [queue] = others.filter((field) => !field.startsWith(CHECKSUMS)).slice(-1);
  return { line, cqrsId, takenAt, checksums, queue: queue === 'None' ? null : queue };
}
