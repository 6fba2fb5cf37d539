import type { Cqrs } from 'mikro-orm-cqrs';

/** Consumes until so many messages have come to their end. @returns how many a second */
export async function drain(cqrs: Cqrs, count: number): Promise<number> {
  let ended = 0;
  let startedAt = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const offs = [
    cqrs.events.on('cqrs.consumer.started', () => (startedAt = performance.now())),
    cqrs.events.on('cqrs.inbox.batch-applied', (batch) => {
      ended += batch.count;
      if (ended >= count) resolve();
    }),
  ];
  const consumer = cqrs.createConsumer();
  await consumer.start();
  await done;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  for (const off of offs) off();
  await consumer.stop();
  return rate;
}
