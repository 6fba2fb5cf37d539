import { type Health, healthOf, type Reason, span } from '../activity/verdict.js';

/** What a worker process says of itself, every `REPORT_EVERY_MS`, over its line to the supervisor. */
export interface WorkerReport {
  readonly health: Health;
  /** From its settings, which the supervisor does not load. */
  readonly stuckSeconds: number;
}

/** What the supervisor knows of one of its workers. */
export interface WorkerSigns {
  readonly number: number;
  /** False while it waits for the first of them to work. */
  readonly begun: boolean;
  /** Null while it waits for its next start. */
  readonly pid: number | null;
  /** Null until it has said something. */
  readonly report: WorkerReport | null;
  /** Since it last said something, or since it was started. */
  readonly silentMs: number;
}

export const REPORT_EVERY_MS = 2_000;
/** A worker that says nothing for so long is busy with something that it cannot interrupt. */
const SILENT_MS = 15_000;
const STUCK_SECONDS = 300;

/** The verdict about all workers of one supervisor: each one's own, and whether they are there at all. */
export function decideWorkers(workers: readonly WorkerSigns[]): Health {
  if (workers.every(({ pid, begun }) => begun && pid === null)) {
    return healthOf([reason('no-workers', 'dead', 'no worker is running')]);
  }
  return healthOf(workers.flatMap(reasonsOf));
}

function reasonsOf({ number, begun, pid, report, silentMs }: WorkerSigns): Reason[] {
  const who = `worker ${number}`;
  if (!begun) return [reason('not-started', 'degraded', `${who} has not started yet`)];
  if (pid === null) return [reason('worker-down', 'degraded', `${who} has ended and is started again`)];
  const stuckMs = (report?.stuckSeconds ?? STUCK_SECONDS) * 1_000;
  if (silentMs > stuckMs) return [reason('stuck', 'dead', `${who} has said nothing for ${span(silentMs)}`)];
  if (report === null) return [reason('not-started', 'degraded', `${who} has not started yet`)];
  const silent =
    silentMs > SILENT_MS ? [reason('worker-silent', 'degraded', `${who} has said nothing for ${span(silentMs)}`)] : [];
  return [...silent, ...report.health.reasons.map((own) => ({ ...own, text: `${who}: ${own.text}` }))];
}

function reason(code: Reason['code'], severity: Reason['severity'], text: string): Reason {
  return { code, severity, where: 'replica', text, since: null };
}
