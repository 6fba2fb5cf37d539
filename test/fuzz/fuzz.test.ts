import { expect, test } from '@jest/globals';
import { capture } from '../../scripts/support/command.js';

// claims: bad-input
test('the kept cases end as they should, and so do a few thousand messages of one seed', async () => {
  const words = ['tsx', 'test/fuzz/main.ts', '--seed', '7', '--count', '2000', '--broker', '300'];
  expect(await capture(words)).toContain('fuzz: passed');
}, 120_000);
