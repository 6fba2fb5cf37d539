import type { Cqrs } from 'mikro-orm-cqrs';

/** Relays until at least so many messages are with the broker. @returns how many a second */
export async function relayAll(cqrs: Cqrs, count: number): Promise<number> {
  let published = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const off = cqrs.events.on('cqrs.relay.published', (batch) => {
    published += batch.count;
    if (published >= count) resolve();
  });
  const startedAt = performance.now();
  const running = cqrs.createRelay();
  await running.start();
  await done;
  const seconds = (performance.now() - startedAt) / 1000;
  off();
  const rate = published / seconds;
  await running.stop();
  return rate;
}
