import type { EntityManager } from '@mikro-orm/postgresql';
import type { CaptureMode, WriteKind } from '../mode.ts';
import type { Random } from '../random.ts';

/** What a step has at hand. */
export interface Step {
  readonly em: EntityManager;
  readonly random: Random;
  /** Goes into the column `note` of every row that the step writes. */
  readonly note: string;
  /** Of the master's database, for other programs. */
  readonly url: string;
  readonly mode: CaptureMode;
}

export interface Operation {
  readonly kind: WriteKind;
  /** How often it is chosen, compared with the others. */
  readonly weight: number;
  /** Writes that MikroORM does not make answer with the rows that they changed. */
  run(step: Step): Promise<unknown>;
}

/** Operations by name, with their weight: 1 if nothing is said. */
export function operations(
  kind: WriteKind,
  all: Readonly<Record<string, Operation['run'] | readonly [weight: number, run: Operation['run']]>>,
): [string, Operation][] {
  return Object.entries(all).map(([name, given]) => {
    const [weight, run] = typeof given === 'function' ? ([1, given] as const) : given;
    return [name, { kind, weight, run }];
  });
}
