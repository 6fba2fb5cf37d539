import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';

/** The real broker; tests keep apart by names of their own (`uniqueName`), so that any server will do. */
export const amqpUrl = process.env['CQRS_TEST_AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** A name for an exchange or a queue that no other test uses. */
export function uniqueName(prefix: string): string {
  return `test_${prefix}_${randomBytes(5).toString('hex')}`;
}

/** Removes what a test has left on the broker. */
export async function deleteTopology(exchange: string, queues: readonly string[]): Promise<void> {
  const connection = await connect(amqpUrl);
  const channel = await connection.createChannel();
  for (const queue of queues) await channel.deleteQueue(queue);
  await channel.deleteExchange(exchange);
  await connection.close();
}
