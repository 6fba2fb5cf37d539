import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openInput } from '../../src/cli/input.js';
import { StoppedError } from '../../src/cli/shutdown.js';

/** A pipe whose writer takes its time. */

let folder: string;
let path: string;
let writer: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cqrs-input-'));
  path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  writer = openSync(path, 'r+');
});
afterEach(() => {
  closeSync(writer);
  rmSync(folder, { recursive: true });
});

async function read(signal: AbortSignal, onChunk: () => void = () => {}): Promise<string> {
  let text = '';
  for await (const chunk of await openInput(path, signal)) {
    text += Buffer.from(chunk).toString();
    onChunk();
  }
  return text;
}

test('ends when it is stopped, with what has come', async () => {
  const stop = new AbortController();
  writeSync(writer, 'one\ntw');
  // While the next chunk is waited for.
  expect(await read(stop.signal, () => setImmediate(() => stop.abort()))).toBe('one\ntw');
});

test('that gave nothing says that nothing was done', async () => {
  const stop = new AbortController();
  const reading = read(stop.signal);
  setImmediate(() => stop.abort());
  await expect(reading).rejects.toThrow(StoppedError);
});

test('that was stopped before it was read waits for nothing', async () => {
  await expect(read(AbortSignal.abort())).rejects.toThrow('stopped before the end; nothing was done.');
});
