import { connect } from 'amqplib';
import type { OutageCase } from './outages.ts';
import { queueOf, type Scene } from './scene.ts';
import type { OwnRabbitMQ } from './servers/own-rabbitmq.ts';

/**
 * The broker is there and does not take single messages, or somebody has changed its topology under a service that runs. What
 * it has against messages ends in the middle of the case; what lasts until an operator says so is tried again by his word.
 */
export const REFUSALS: readonly OutageCase[] = [
  {
    name: 'network.broker',
    action: 'messages too long (406)',
    heard: { relay: ['cqrs.relay.refused'] },
    bring: async ({ servers, stage, relay, verdicts, write }) => {
      await servers.rabbitmq.limitMessageSize(100);
      await servers.rabbitmq.failChannels(); // only new ones know the limit
      await write();
      await relay.hears('cqrs.relay.refused');
      await verdicts.master.gives('publish-refused');
      await servers.rabbitmq.limitMessageSize(134_217_728);
      await servers.rabbitmq.failChannels();
      await stage.master.cqrs.refused.retry({});
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'topic forbidden (403)',
    heard: { relay: ['cqrs.relay.refused'] },
    bring: async ({ servers, stage, relay, verdicts, write }) => {
      const { rabbitmq } = servers;
      await rabbitmq.ctl('set_topic_permissions', 'guest', stage.scene.exchange, '^(watched|cqrs\\..*)$', '.*');
      await rabbitmq.failChannels(); // the others remember what they were allowed
      await write();
      await relay.hears('cqrs.relay.refused');
      await verdicts.master.gives('publish-refused');
      await rabbitmq.ctl('clear_topic_permissions', 'guest');
      await rabbitmq.failChannels();
      await stage.master.cqrs.refused.retry({});
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'queue full',
    heard: { relay: ['cqrs.relay.refused'] },
    bring: async ({ servers, stage, relay, verdicts, write, atRest }) => {
      await atRest();
      await full(servers.rabbitmq, stage.scene, queueOf(stage.scene), async () => {
        await write();
        await relay.hears('cqrs.relay.refused');
        await verdicts.master.gives('publish-refused');
      });
      await stage.master.cqrs.refused.retry({});
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'dead letters full',
    heard: { worker: ['cqrs.inbox.end-refused'] },
    bring: async ({ servers, stage, worker, verdicts, write, atRest }) => {
      await atRest();
      await full(servers.rabbitmq, stage.scene, `dead_letter_${queueOf(stage.scene)}`, async () => {
        await write();
        await worker.hears('cqrs.inbox.end-refused');
        await verdicts.replica.notes('cqrs.inbox.end-refused');
      });
      return 1;
    },
  },
  {
    name: 'network.broker',
    action: 'bindings removed',
    heard: { relay: ['cqrs.relay.refused'] },
    bring: async ({ stage, relay, worker, write, atRest }) => {
      await atRest();
      worker.suspend(); // it would bind again before anybody has written
      await meddle(stage.scene, async (channel) => {
        const queue = queueOf(stage.scene);
        for (const id of ['plain', 'watched']) await channel.unbindQueue(queue, stage.scene.exchange, id);
      });
      await write();
      await relay.hears('cqrs.relay.refused');
      worker.resume();
      return 2;
    },
  },
  {
    name: 'network.broker',
    action: 'exchange removed',
    heard: { relay: ['cqrs.relay.refused'] },
    bring: async ({ stage, relay, worker, write, atRest }) => {
      await atRest();
      worker.suspend();
      await meddle(stage.scene, async (channel) => void (await channel.deleteExchange(stage.scene.exchange)));
      await write();
      await relay.hears('cqrs.relay.refused');
      worker.resume();
      return 1;
    },
  },
];

/** For as long as `work` takes, the queue takes nothing. What is in it stays: a lower limit would drop that. */
async function full(rabbitmq: OwnRabbitMQ, scene: Scene, queue: string, work: () => Promise<void>): Promise<void> {
  let length = 0;
  await meddle(scene, async (channel) => void (length = (await channel.checkQueue(queue)).messageCount));
  const definition = JSON.stringify({ 'max-length': length, overflow: 'reject-publish' });
  await rabbitmq.ctl('set_policy', '--apply-to', 'queues', 'full', `^${queue}$`, definition);
  await work();
  await rabbitmq.ctl('clear_policy', 'full');
}

type Channel = Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createChannel']>>;

/** An operator's hand. */
export async function meddle({ amqpUrl }: Scene, work: (channel: Channel) => Promise<void>): Promise<void> {
  const model = await connect(amqpUrl);
  await work(await model.createChannel());
  await model.close();
}
