import { describe, expect, test } from '@jest/globals';
import { readLines, splitHeader } from '../../src/operations/lines.js';
import { readHeader, writeHeader } from '../../src/operations/stream-header.js';
import { pieces } from './streams.js';

async function texts(stream: string, size: number): Promise<string[]> {
  const found: string[] = [];
  for await (const line of readLines(pieces(stream, size))) found.push(`${line.number} ${line.text()}`);
  return found;
}

describe('lines', () => {
  test.each([1, 2, 3, 100])('are the same in pieces of %d bytes', async (size) => {
    expect(await texts('é🎉\r\n\nlast', size)).toEqual(['1 é🎉', '2 ', '3 last']);
    expect(await texts('a\nb\n', size)).toEqual(['1 a', '2 b']);
    expect(await texts('', size)).toEqual([]);
  });

  test('one that is not UTF-8 says so, and is no obstacle to the next', async () => {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from([0xff, 10, 0x61]);
    };
    const lines = readLines(source());
    const [bad, good] = [(await lines.next()).value, (await lines.next()).value];
    expect(() => bad.text()).toThrow('line 1 is not UTF-8.');
    expect(good.text()).toBe('a');
  });

  test('one that is not UTF-8 among others of the same piece is counted, and costs no other', async () => {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.concat([Buffer.from('a\nb'), Buffer.from([0xff, 10]), Buffer.from('é\r\n\nc')]);
    };
    const found: string[] = [];
    for await (const line of readLines(source())) {
      try {
        found.push(`${line.number} ${line.text()}`);
      } catch (error) {
        found.push((error as Error).message);
      }
    }
    expect(found).toEqual(['1 a', 'line 2 is not UTF-8.', '3 é', '4 ', '5 c']);
  });

  test('without a first one the input is empty', async () => {
    await expect(splitHeader(pieces('\n'))).rejects.toThrow(/the input is empty/);
    const { header, rest } = await splitHeader(pieces('account\nx'));
    expect(header).toBe('account');
    expect((await rest.next()).value.number).toBe(2);
  });
});

describe('the header of a stream', () => {
  test.each([
    [
      'author,2021-04-30 11:50:05.164341+00:00',
      { cqrsId: 'author', takenAt: 1619783405164341, checksums: undefined, queue: undefined },
    ],
    ['author,2021-04-30 11:50:05+00:00,None', { queue: null }],
    ['author,2021-04-30 11:50:05+00:00,replica', { queue: 'replica' }],
    ['author,2021-04-30 11:50:05+00:00,checksums=id+name', { checksums: ['id', 'name'], queue: undefined }],
    ['author,2021-04-30 11:50:05+00:00,checksums=id+name,replica', { checksums: ['id', 'name'], queue: 'replica' }],
  ])('%s', (line, expected) => {
    expect(readHeader(line)).toMatchObject(expected);
  });

  test('is written as django-cqrs writes it', () => {
    expect(writeHeader('author', 1619783405164341)).toBe('author,2021-04-30 11:50:05.164341+00:00');
    expect(writeHeader('author', 1619783405000000, ['id', 'name'])).toBe(
      'author,2021-04-30 11:50:05+00:00,checksums=id+name',
    );
  });
});
