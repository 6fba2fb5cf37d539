import type { Finding } from '../../kernel/errors.js';
import type { Cqrs } from '../../cqrs.js';

/** One thing that `cqrs doctor` looks at. A new one is a row in `doctor.ts` and a file beside it. It changes nothing. */
export interface Check {
  /** One word or two, with hyphens: for `--json` and for scripts. */
  readonly name: string;
  /** What it looks at, in a line. */
  readonly about: string;
  run(cqrs: Cqrs): Promise<CheckResult>;
}

export interface CheckResult {
  readonly findings: readonly Finding[];
  /** Why it could not be looked at from here, and what to do instead; null when it was. */
  readonly notChecked?: string | null;
}
