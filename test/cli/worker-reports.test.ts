import { expect, test } from '@jest/globals';
import { healthOf } from '../../src/activity/verdict.js';
import { decideWorkers, type WorkerSigns } from '../../src/cli/worker-reports.js';

const healthy = { health: healthOf([]), stuckSeconds: 300 };
const stuck = {
  health: healthOf([
    { code: 'stuck', severity: 'dead', where: 'replica', text: 'the worker has not moved for 6 min', since: null },
  ]),
  stuckSeconds: 300,
};
const worker = (number: number, more: Partial<WorkerSigns> = {}): WorkerSigns => {
  return { number, begun: true, pid: 100 + number, report: healthy, silentMs: 0, ...more };
};

test.each<[string, WorkerSigns[], string, string[]]>([
  ['all are well', [worker(1), worker(2)], 'healthy', []],
  [
    'the first has been forked',
    [worker(1, { report: null }), worker(2, { begun: false, pid: null })],
    'degraded',
    ['not-started', 'not-started'],
  ],
  ['one of two has died', [worker(1), worker(2, { pid: null })], 'degraded', ['worker-down']],
  ['all have died', [worker(1, { pid: null }), worker(2, { pid: null })], 'dead', ['no-workers']],
  ['one is stuck and says so', [worker(1), worker(2, { report: stuck })], 'dead', ['stuck']],
  ['one is busy with what it cannot interrupt', [worker(1, { silentMs: 20_000 })], 'degraded', ['worker-silent']],
  ['one hangs', [worker(1, { silentMs: 301_000 })], 'dead', ['stuck']],
  ['one hangs from its start', [worker(1, { report: null, silentMs: 301_000 })], 'dead', ['stuck']],
])('%s', (_, workers, state, codes) => {
  const health = decideWorkers(workers);
  expect(health.state).toBe(state);
  expect(health.reasons.map(({ code }) => code)).toEqual(codes);
});

test('each reason names its worker', () => {
  expect(decideWorkers([worker(7, { report: stuck })]).reasons[0]!.text).toBe(
    'worker 7: the worker has not moved for 6 min',
  );
});
