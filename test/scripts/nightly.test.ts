import { expect, test } from '@jest/globals';
import { newestFirst } from '../../scripts/nightly/newest-mikro-orm.ts';

test('the newest release of MikroORM comes first, whatever the order in which they were published', () => {
  const published = ['7.0.9', '7.10.1', '7.2.1', '7.2.10', '7.1.11', '7.11.0-dev.3', '7.10.0'];
  expect(newestFirst(published)).toEqual(['7.10.1', '7.10.0', '7.2.10', '7.2.1', '7.1.11', '7.0.9']);
});
