import { spawn, type ChildProcess } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { Supervisor } from '../../src/cli/supervisor.js';
import { Events } from '../../src/kernel/events.js';
import { EventLog } from '../messaging/inbox/harness.js';

/** A worker process that runs the given code. */
const processOf = (code: string): ChildProcess =>
  spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
const WELL_BEHAVED = `process.send('ready'); process.on('message', () => process.exit(0))`;
const DEAF = `process.send('ready'); process.on('message', () => {}); process.on('SIGTERM', () => {})`;

function supervise(workers: number, code: (worker: number) => string): { supervisor: Supervisor; log: EventLog } {
  const events = new Events();
  const log = new EventLog(events);
  return { log, supervisor: new Supervisor({ workers, events, fork: (worker) => processOf(code(worker)) }) };
}

describe('a supervisor', () => {
  test('waits longer each time for a worker that dies at once', async () => {
    const { supervisor, log } = supervise(1, () => 'process.exit(1)');
    await supervisor.start();
    const exits = await log.until('cqrs.worker.exited', 3);
    await supervisor.stop();
    expect(exits.map(({ worker, code }) => [worker, code])).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
    const [first, second, third] = exits.map(({ restartInMs }) => restartInMs!);
    expect(first).toBeLessThanOrEqual(200);
    expect(second).toBeGreaterThan(first!);
    expect(third).toBeGreaterThan(second!);
    expect(await supervisor.finished).toBe(0);
  });

  test('starts the others once the first one works', async () => {
    const { supervisor, log } = supervise(3, () => WELL_BEHAVED);
    await supervisor.start();
    expect(log.of('cqrs.worker.started')).toMatchObject([{ worker: 1 }]);
    const started = await log.until('cqrs.worker.started', 3);
    expect(started.map(({ worker }) => worker)).toEqual([1, 2, 3]);
    await supervisor.stop();
    expect(log.of('cqrs.worker.exited')).toHaveLength(3);
    expect(log.of('cqrs.worker.exited').every(({ code, restartInMs }) => code === 0 && restartInMs === null)).toBe(
      true,
    );
  });

  test('gives up when a worker says that the set-up is wrong', async () => {
    const { supervisor, log } = supervise(3, () => 'process.exit(2)');
    await supervisor.start();
    expect(await supervisor.finished).toBe(2);
    await supervisor.stop();
    expect(log.of('cqrs.worker.started')).toHaveLength(1);
    expect(log.of('cqrs.worker.exited')).toMatchObject([{ code: 2, restartInMs: null }]);
  });

  test('ends workers at once that do not listen', async () => {
    const { supervisor, log } = supervise(1, () => DEAF);
    await supervisor.start();
    await log.until('cqrs.worker.started');
    const stopped = supervisor.stop();
    supervisor.kill();
    await stopped;
    expect(log.of('cqrs.worker.exited')).toMatchObject([{ code: null, restartInMs: null }]);
  });

  test('lets workers drain and starts them again at once when it is told to', async () => {
    const { supervisor, log } = supervise(2, () => WELL_BEHAVED);
    await supervisor.start();
    await log.until('cqrs.worker.started', 2);
    supervisor.restart();
    const again = await log.until('cqrs.worker.started', 4);
    expect(again.map(({ worker }) => worker).toSorted()).toEqual([1, 1, 2, 2]);
    expect(log.of('cqrs.worker.exited')).toMatchObject([
      { code: 0, restartInMs: 0 },
      { code: 0, restartInMs: 0 },
    ]);
    await supervisor.stop();
  });

  test('if it is patient, waits with a wrong set-up until it is told to start again', async () => {
    const events = new Events();
    const log = new EventLog(events);
    const codes = ['process.exit(2)', WELL_BEHAVED];
    await using supervisor = new Supervisor({
      workers: 1,
      events,
      patient: true,
      fork: () => processOf(codes.shift()!),
    });
    await supervisor.start();
    expect(await log.until('cqrs.worker.exited')).toMatchObject([{ code: 2, restartInMs: null }]);
    supervisor.restart();
    await log.until('cqrs.worker.started', 2);
  });

  test('if it is patient, can be stopped while it waits', async () => {
    const events = new Events();
    const log = new EventLog(events);
    const supervisor = new Supervisor({ workers: 1, events, patient: true, fork: () => processOf('process.exit(2)') });
    await supervisor.start();
    await log.until('cqrs.worker.exited');
    await supervisor.stop();
    expect(await supervisor.finished).toBe(0);
  });

  test('survives a worker that cannot even be started', async () => {
    const events = new Events();
    const log = new EventLog(events);
    const nowhere = (): ChildProcess => spawn('/nowhere/node', [], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    await using supervisor = new Supervisor({ workers: 1, events, fork: nowhere });
    await supervisor.start();
    expect(await log.until('cqrs.worker.exited')).toMatchObject([{ worker: 1, code: 1 }]);
  });
});
