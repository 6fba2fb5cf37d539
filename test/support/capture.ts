/** How masters are captured where a test says nothing of it: `CQRS_TEST_CAPTURE=trigger` runs whole suites in that mode. */
export const capture = process.env['CQRS_TEST_CAPTURE'] === 'trigger' ? 'trigger' : 'driver';
