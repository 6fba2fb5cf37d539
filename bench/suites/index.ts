import type { Suite } from '../harness/suite.ts';
import { bulk } from './bulk.ts';
import { consumer } from './consumer.ts';
import { django } from './django.ts';
import { growth } from './growth.ts';
import { latency } from './latency.ts';
import { load } from './load.ts';
import { logical } from './logical.ts';
import { memory } from './memory.ts';
import { oneRow } from './one-row.ts';
import { processes } from './processes.ts';
import { relay } from './relay.ts';
import { triggers } from './triggers.ts';

/** In the order in which they run. */
export const suites: readonly Suite[] = [
  oneRow,
  bulk,
  triggers,
  relay,
  consumer,
  latency,
  django,
  load,
  logical,
  growth,
  processes,
  memory,
];
