import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AckWindow } from '../../../src/brokers/rabbitmq/ack-window.js';

/** What RabbitMQ does with acknowledgements: it closes the channel when it hears a tag that is not outstanding. */
class Broker {
  readonly outstanding: Set<number>;

  constructor(tags: number) {
    this.outstanding = new Set(Array.from({ length: tags }, (_, index) => index + 1));
  }

  hear(acks: readonly { tag: number; multiple: boolean }[]): void {
    for (const { tag, multiple } of acks) {
      expect(this.outstanding).toContain(tag);
      for (const other of this.outstanding)
        if (other === tag || (multiple && other < tag)) this.outstanding.delete(other);
    }
  }
}

describe('AckWindow', () => {
  test('one word for all that is settled without a hole', () => {
    const window = new AckWindow();
    for (const tag of [3, 1, 2]) window.settle(tag);
    expect(window.take()).toEqual([{ tag: 3, multiple: true }]);
    expect(window.take()).toEqual([]);
  });

  test('single words behind a hole, and none of them again when the hole closes', () => {
    const window = new AckWindow();
    for (const tag of [1, 3, 4]) window.settle(tag);
    expect(window.take()).toEqual([
      { tag: 1, multiple: true },
      { tag: 3, multiple: false },
      { tag: 4, multiple: false },
    ]);
    for (const tag of [2, 5]) window.settle(tag);
    expect(window.take()).toEqual([{ tag: 5, multiple: true }]);
  });

  test('a tag that ended another way closes its hole', () => {
    const window = new AckWindow();
    window.skip(1);
    window.settle(2);
    expect(window.take()).toEqual([{ tag: 2, multiple: true }]);
  });

  test('whatever the order and however it is cut: exactly the settled tags are acknowledged, none twice', () => {
    const plans = fc.integer({ min: 1, max: 40 }).chain((tags) =>
      fc.record({
        tags: fc.constant(tags),
        settled: fc.shuffledSubarray(Array.from({ length: tags }, (_, index) => index + 1)),
        cutAfter: fc.array(fc.boolean(), { minLength: tags, maxLength: tags }),
      }),
    );
    fc.assert(
      fc.property(plans, ({ tags, settled, cutAfter }) => {
        const broker = new Broker(tags);
        const window = new AckWindow();
        settled.forEach((tag, index) => {
          window.settle(tag);
          if (cutAfter[index]) broker.hear(window.take());
        });
        broker.hear(window.take());
        expect(broker.outstanding.size).toBe(tags - settled.length);
        for (const tag of settled) expect(broker.outstanding).not.toContain(tag);
      }),
    );
  });
});
