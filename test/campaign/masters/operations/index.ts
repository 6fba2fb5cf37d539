import type { Weighted } from '../program.ts';
import { builders } from './builders.ts';
import { natives } from './natives.ts';
import type { Operation } from './operation.ts';
import { announcedByHand, psql, rawSql } from './unseen.ts';
import { units } from './units.ts';

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ...units,
  ...natives,
  ...builders,
  ...announcedByHand,
  ...rawSql,
  ...psql,
]);

export const CHOICES: readonly Weighted[] = [...OPERATIONS].map(([name, { weight }]) => ({ name, weight }));
