import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DoctorReport } from '../../src/operations/doctor/doctor.js';
import { CliService } from './cli-service.js';

/** What an operator types for a service whose masters are captured by triggers. */

const service = new CliService('triggers');
const env = { CLI_TEST_CAPTURE: 'trigger' };
beforeAll(() => service.open());
afterAll(() => service.close());

test('the schema of a service that had captured at the driver, and what the doctor says then and later', async () => {
  const made = await service.shell('cqrs schema --additive --run > /dev/null && cqrs doctor --json', env);
  expect(made).toMatchObject({ code: 0, err: expect.stringMatching(/\d statements run\./) });
  const { checks } = JSON.parse(made.out) as DoctorReport;
  expect(checks).toMatchObject([{ name: 'set-up', state: 'ok' }, { name: 'triggers', state: 'ok' }, {}]);

  await service.sql('alter table account disable trigger user');
  const off = await service.shell('cqrs doctor', env);
  expect(off.code).toBe(1);
  expect(off.out).toMatch(
    /^set-up: 1 found .*\n {2}problem: Account: .* are disabled: .*\n {4}Enable them: alter table/,
  );
});
