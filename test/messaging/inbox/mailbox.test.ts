import { describe, expect, test } from '@jest/globals';
import { Mailbox } from '../../../src/messaging/inbox/mailbox.js';

const forever = new AbortController().signal;

describe('a mailbox', () => {
  test('gives a full batch without waiting', async () => {
    const mailbox = new Mailbox<number>({ batchSize: 2, waitMs: 1e6 });
    for (const value of [1, 2, 3, 4]) mailbox.put(value);
    expect(await mailbox.take(forever)).toEqual([1, 2]);
    expect(await mailbox.take(forever)).toEqual([3, 4]);
  });

  test('waits for the batch to fill', async () => {
    const mailbox = new Mailbox<number>({ batchSize: 2, waitMs: 1e6 });
    const taken = mailbox.take(forever);
    mailbox.put(1);
    mailbox.put(2);
    expect(await taken).toEqual([1, 2]);
  });

  test('gives what there is once the first has waited long enough', async () => {
    const mailbox = new Mailbox<number>({ batchSize: 100, waitMs: 10 });
    mailbox.put(1);
    mailbox.put(2);
    expect(await mailbox.take(forever)).toEqual([1, 2]);
  });

  test('gives nothing once it is stopped, though something is there', async () => {
    const abort = new AbortController();
    const mailbox = new Mailbox<number>({ batchSize: 100, waitMs: 1e6 });
    const empty = mailbox.take(abort.signal);
    abort.abort();
    expect(await empty).toEqual([]);
    mailbox.put(1);
    expect(await mailbox.take(abort.signal)).toEqual([]);
  });
});
