import type { CaptureMode } from '../mode.ts';
import type { Weighted } from '../program.ts';
import { builders } from './builders.ts';
import { natives } from './natives.ts';
import { cascades, copies, kysely } from './database.ts';
import type { Operation } from './operation.ts';
import { announcedByHand, psql, rawSql } from './unseen.ts';
import { units } from './units.ts';

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ...units,
  ...natives,
  ...builders,
  ...announcedByHand,
  ...rawSql,
  ...psql,
]);

/** Those that only modes have which capture them. */
const BESIDES: ReadonlyMap<string, Operation> = new Map([...kysely, ...cascades, ...copies]);

/** What a program may do. */
export function choicesOf(mode: CaptureMode): readonly Weighted[] {
  const besides = [...BESIDES].filter(([, { kind }]) => mode.captures.has(kind));
  return [...OPERATIONS, ...besides].map(([name, { weight }]) => ({ name, weight }));
}

export function operationNamed(name: string): Operation {
  return (OPERATIONS.get(name) ?? BESIDES.get(name))!;
}
