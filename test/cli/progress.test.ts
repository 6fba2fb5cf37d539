import { expect, test } from '@jest/globals';
import { progressText, startProgress } from '../../src/cli/progress.js';

test.each<[Parameters<typeof progressText>, string]>([
  [[2_000, 10_000, 'rows', 2], '2,000 of 10,000 rows - 20% with rate 1,000/s, to go 0:00:08'],
  [[0, 5, 'rows', 0], '0 of 5 rows - 0% with rate 0/s, to go ?'],
  [[1, 10_000_000, 'rows', 1], '1 of 10,000,000 rows - 0% with rate 1/s, to go 2777:46:39'],
  [[0, 0, 'rows', 1], '0 of 0 rows - 100% with rate 0/s, to go ?'],
  [[1_500, undefined, 'lines', 3], '1,500 lines with rate 500/s'],
])('%j', (given, expected) => {
  expect(progressText(...given)).toBe(expected);
});

function run({ isTTY, always }: { isTTY: boolean; always: boolean }): string[] {
  let now = 0;
  const written: string[] = [];
  const stream = { isTTY, write: (text: string) => written.push(text) };
  using progress = startProgress({ unit: 'rows', always, stream, clock: () => now });
  for (let done = 0; done <= 100; done += 10) {
    progress.show(done, 100);
    now += 250;
  }
  progress[Symbol.dispose]();
  return written;
}

test('a log gets a line about once a second, the first and the last for certain', () => {
  expect(run({ isTTY: false, always: true }).map((line) => line.split(' - ')[0])).toEqual([
    '0 of 100 rows',
    '40 of 100 rows',
    '80 of 100 rows',
    '100 of 100 rows',
  ]);
});

test('a log that nobody asked for gets nothing', () => {
  expect(run({ isTTY: false, always: false })).toEqual([]);
});

test('a terminal gets one line that is rewritten, and is clean afterwards', () => {
  const written = run({ isTTY: true, always: false });
  expect(written[5]).toBe('\r\u001b[K[############............] 50 of 100 rows - 50% with rate 40/s, to go 0:00:02');
  expect(written.slice(0, 11).every((text) => text.startsWith('\r\u001b[K') && !text.includes('\n'))).toBe(true);
  expect(written.at(-1)).toBe('\r\u001b[K');
});

test('what is said meanwhile has a line of its own, and the next one is drawn below it', () => {
  const written: string[] = [];
  using progress = startProgress({
    unit: 'rows',
    always: false,
    stream: { isTTY: true, write: (text) => written.push(text) },
    clock: () => 1_000,
  });
  progress.say('before');
  progress.show(1);
  progress.say('meanwhile');
  expect(written).toEqual(['before\n', expect.stringMatching(/1 rows/), '\r\u001b[Kmeanwhile\n']);
});
