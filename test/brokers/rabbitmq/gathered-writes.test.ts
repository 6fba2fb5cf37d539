import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { gatherWrites } from '../../../src/brokers/rabbitmq/gathered-writes.js';

let sender: Socket;
let received: Promise<string>;
/** How many pieces each system call took. */
const calls: number[] = [];

beforeEach(async () => {
  const server = createServer((socket) => resolve(text(socket)));
  const { promise, resolve } = Promise.withResolvers<string>();
  received = promise;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  sender = connect(server.address() as never);
  await once(sender, 'connect');
  server.close();
  calls.length = 0;
  const writev = sender._writev!.bind(sender);
  sender._writev = (chunks, callback) => {
    calls.push(chunks.length);
    writev(chunks, callback);
  };
  gatherWrites(sender);
});
afterEach(() => void sender.destroy());

test('what is written in one turn leaves together, in its order, and the next turn by itself', async () => {
  for (const word of ['one ', 'two ', 'three ']) sender.write(word);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => sender.write('four ', resolve));
  for (const word of ['five ', 'six']) sender.write(word);
  await new Promise<void>((resolve) => sender.end(resolve));
  expect(await received).toBe('one two three four five six');
  expect(calls).toEqual([3, 2]);
});

test('what is written before the end still leaves', async () => {
  sender.write('last ');
  sender.write('words');
  sender.end();
  expect(await received).toBe('last words');
});
