import { setImmediate } from 'node:timers/promises';
import type { ChannelModel } from 'amqplib';
import pg from 'pg';
import { type ConfirmChannel } from '../harness/broker.ts';
import { NAME } from '../products.ts';
import { appendRaw, RETURNING, type RawProduct } from './outbox.ts';
import { consumeRaw } from './consumer.ts';
import { relayBatchRaw } from './relay.ts';

/**
 * The whole way by hand: a transaction with a row and its message, a relay woken by the commit in the same process, a
 * consumer with its upsert.
 */
export class RawPath {
  readonly #writer: pg.Client;
  readonly #relayer: pg.Client;
  readonly #applier: pg.Client;
  readonly #broker: { connection: ChannelModel; channel: ConfirmChannel; exchange: string };
  #relaying?: Promise<void>;
  #woken = false;
  #consumer?: { stop(): Promise<void> };

  constructor(
    masterUrl: string,
    replicaUrl: string,
    broker: { connection: ChannelModel; channel: ConfirmChannel; exchange: string },
  ) {
    this.#writer = new pg.Client({ connectionString: masterUrl });
    this.#relayer = new pg.Client({ connectionString: masterUrl });
    this.#applier = new pg.Client({ connectionString: replicaUrl });
    this.#broker = broker;
  }

  async start(queue: string, onVisible: (id: number) => void): Promise<void> {
    await Promise.all([this.#writer, this.#relayer, this.#applier].map((client) => client.connect()));
    const channel = await this.#broker.connection.createChannel();
    this.#consumer = await consumeRaw(channel, queue, this.#applier, (keys) => keys.forEach(onVisible));
  }

  /** Inserts a product and its message; resolves with the key when that is committed. */
  async create(index: number): Promise<number> {
    await this.#writer.query('begin');
    const { rows } = await this.#writer.query<RawProduct>({
      name: 'create',
      text: `insert into products (name, quantity, price, created_at, active) values ($1, $2, $3, now(), true) returning ${RETURNING}`,
      values: [`${NAME} ${index}`, index, '12.50'],
    });
    await appendRaw(this.#writer, rows);
    await this.#writer.query('commit');
    this.#wake();
    return Number(rows[0]!.id);
  }

  async stop(): Promise<void> {
    await this.#relaying;
    await this.#consumer?.stop();
    await Promise.all([this.#writer, this.#relayer, this.#applier].map((client) => client.end()));
  }

  #wake(): void {
    this.#woken = true;
    this.#relaying ??= this.#relay();
  }

  async #relay(): Promise<void> {
    await setImmediate();
    while (this.#woken) {
      this.#woken = false;
      while ((await relayBatchRaw(this.#relayer, this.#broker.channel, this.#broker.exchange)) > 0);
    }
    this.#relaying = undefined;
  }
}
