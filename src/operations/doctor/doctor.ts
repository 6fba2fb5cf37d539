import { describeError } from '../../kernel/describe-error.js';
import { CqrsError, type Finding } from '../../kernel/errors.js';
import type { Cqrs } from '../../cqrs.js';
import type { Check } from './check.js';
import { queuesCheck } from './queues-check.js';
import { setUpCheck } from './set-up-check.js';
import { triggersCheck } from './triggers-check.js';

/** Everything that `cqrs doctor` looks at, in the order in which it tells of it. */
const CHECKS: readonly Check[] = [setUpCheck, triggersCheck, queuesCheck];

export interface DoctorReport {
  /** Whether no check has found a problem or failed; advice alone, and checks that cannot be made from here, count as well. */
  readonly ok: boolean;
  readonly checks: readonly CheckReport[];
}

export interface CheckReport {
  readonly name: string;
  readonly about: string;
  /** `failed`: it could not be finished, e.g. without the database; `not-checked`: it cannot be made from here. */
  readonly state: 'ok' | 'findings' | 'not-checked' | 'failed';
  readonly findings: readonly Finding[];
  /** Of `not-checked` and `failed`: why. */
  readonly why: string | null;
}

/** Looks at what a service cannot see while it runs. Changes nothing; a check that fails stops no other. */
export async function examineService(cqrs: Cqrs, checks: readonly Check[] = CHECKS): Promise<DoctorReport> {
  const reports: CheckReport[] = [];
  for (const check of checks) reports.push(await examine(cqrs, check));
  const ok = reports.every(
    ({ state, findings }) => state !== 'failed' && findings.every(({ severity }) => severity !== 'problem'),
  );
  return { ok, checks: reports };
}

async function examine(cqrs: Cqrs, { name, about, run }: Check): Promise<CheckReport> {
  try {
    const { findings, notChecked = null } = await run(cqrs);
    const state = notChecked !== null ? 'not-checked' : findings.length > 0 ? 'findings' : 'ok';
    return { name, about, state, findings, why: notChecked };
  } catch (error) {
    const why = error instanceof CqrsError ? error.message : describeError(error);
    return { name, about, state: 'failed', findings: [], why };
  }
}
