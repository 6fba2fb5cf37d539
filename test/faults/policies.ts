import { putBack, selectLetters } from '../../src/operations/dead-letters.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import type { OutageCase } from './outages.ts';
import { meddle } from './refusals.ts';
import { queueOf } from './scene.ts';
import { eventually } from './within.ts';

/**
 * An operator sets a policy on a classic queue in use, and the broker drops what nobody has fetched. The worker stands still
 * meanwhile with what it has fetched.
 */
export const POLICIES: readonly OutageCase[] = [
  ...[
    { action: 'policy message-ttl', definition: { 'message-ttl': 200 }, left: 0, told: 'message-ttl is 200' },
    { action: 'policy max-length', definition: { 'max-length': 5 }, left: 5, told: 'longer than 5' },
  ].map(({ action, definition, left, told }): OutageCase => ({
    name: 'network.broker',
    action: `${action}: doctor, reconcile`,
    heard: {},
    bring: async (place) => {
      const { stage, base } = place;
      await dropping(place, definition, left, async () => demand(await findings(place), told));
      // Of what was dropped no trace is left: only a comparison finds it.
      const { lost } = await stage.standing(base);
      if (lost === 0) throw new Error('nothing was dropped');
      // Not those of other cases, whose poison would die once more.
      const keys = Array.from({ length: 100 }, (_, index) => base + index);
      for (const cqrsId of ['plain', 'watched']) {
        const options = { cqrsId, keys, queue: queueOf(stage.scene), settleSeconds: 0, timeoutSeconds: 5 };
        await reconcile(stage.master.cqrs, options);
      }
      return lost;
    },
  })),
  ...[
    { reason: 'message-ttl', definition: { 'message-ttl': 200 }, left: 0 },
    { reason: 'max-length', definition: { 'max-length': 5 }, left: 5 },
  ].map(({ reason, definition, left }): OutageCase => ({
    name: 'network.broker',
    action: `policy ${reason} with dead letters: retried`,
    heard: {},
    bring: async (place) => {
      const { cqrs } = place.stage.replica;
      const deadLetterQueue = `dead_letter_${queueOf(place.stage.scene)}`;
      // As `cqrs doctor` prints it.
      const kept = { 'dead-letter-exchange': '', 'dead-letter-routing-key': deadLetterQueue };
      await dropping(place, { ...definition, ...kept }, left);
      let dropped = 0;
      for await (const found of selectLetters(cqrs)) {
        if (found.letter.reason !== reason) continue;
        await putBack(cqrs, found);
        dropped++;
      }
      return dropped;
    },
  })),
];

type Place = Parameters<OutageCase['bring']>[0];

/** Lets the broker drop all but so many of the messages that the worker has not fetched. */
async function dropping(
  { servers, stage, worker, write, atRest }: Place,
  definition: object,
  left: number,
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  const queue = queueOf(stage.scene);
  const policy = 'policies/%2F/drops';
  await atRest();
  worker.suspend();
  await servers.rabbitmq.manage('PUT', policy, { pattern: `^${queue}$`, definition, 'apply-to': 'queues' });
  await write();
  const dropped = await eventually(10_000, async () => {
    let ready = -1;
    await meddle(stage.scene, async (channel) => void (ready = (await channel.checkQueue(queue)).messageCount));
    return (await stage.master.cqrs.outboxState())!.depth === 0 && ready <= left;
  });
  if (!dropped) throw new Error('the broker did not drop what it was told to');
  await meanwhile();
  await servers.rabbitmq.manage('DELETE', policy);
  worker.resume();
  // What the worker has fetched, and what was left, is applied or dead.
  await eventually(10_000, async () => (await stage.onTheWay()) === 0 && (await stage.onTheWay()) === 0);
}

async function findings({ servers, stage }: Place): Promise<string> {
  const { url, managementUrl } = servers.rabbitmq;
  const queue = queueOf(stage.scene);
  const queues = { queue, deadLetterQueue: `dead_letter_${queue}`, unreadableQueue: `unreadable_${queue}` };
  return JSON.stringify(await new RabbitMQTransport({ url, managementUrl }).examineQueues(queues));
}

function demand(text: string, told: string): void {
  if (!text.includes(told)) throw new Error(`'${told}' is not told: ${text}`);
}
