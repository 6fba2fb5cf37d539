import { expect, test } from '@jest/globals';
import { runReconcile } from './reconcile.js';

test('20,000 rows, ten faults, writes that go on: exactly the ten are found and repaired', async () => {
  const said: string[] = [];
  const kept = await runReconcile({ rows: 20_000, writesPerSecond: 50, say: (line) => said.push(line) });
  expect({ kept, said }).toMatchObject({ kept: true });
}, 120_000);
