import { once } from 'node:events';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import type { TransportHarness } from '../../../src/testing/index.js';
import { RabbitMQTransport, type RabbitMQOptions } from '../../../src/brokers/rabbitmq/index.js';
import { amqpUrl } from '../../support/broker.js';

/** A look at the broker past our own code, and a broom. */
export class Server implements AsyncDisposable {
  readonly #queues = new Set<string>();
  readonly #exchanges = new Set<string>();

  private constructor(
    private readonly model: ChannelModel,
    readonly channel: Channel,
  ) {}

  static async open(): Promise<Server> {
    const model = await connect(amqpUrl);
    return new Server(model, await model.createChannel());
  }

  /** Remembers what is to be removed in the end. */
  sweep({ exchange, queues = [] }: { exchange?: string; queues?: readonly string[] }): void {
    if (exchange !== undefined) this.#exchanges.add(exchange);
    for (const queue of queues) this.#queues.add(queue);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#queues) {
      await this.channel.deleteQueue(queue);
      for (const delay of DELAYS) await this.channel.deleteQueue(`${queue}.delay.${delay}`);
    }
    for (const exchange of this.#exchanges) await this.channel.deleteExchange(exchange);
    await this.model.close();
  }
}

/** The delays that the tests use; their queues go with the others. */
const DELAYS = [50, 100, 300, 400, 500, 1_500];

export function rabbitMQHarness(options: RabbitMQOptions = {}): TransportHarness {
  return {
    transport: () => new RabbitMQTransport({ url: amqpUrl, ...options }),
    cleanUp: async (made) => {
      await using server = await Server.open();
      server.sweep(made);
    },
  };
}

/** Stands between a transport and the broker and misbehaves on request. */
export class Proxy implements AsyncDisposable {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #holding = false;
  #refusing = false;
  #lastWord?: Buffer;

  private constructor(private readonly server: ReturnType<typeof createServer>) {}

  static async open(): Promise<Proxy> {
    const { hostname, port } = new URL(amqpUrl);
    const proxy: Proxy = new Proxy(
      createServer((client) => {
        if (proxy.#refusing) return void client.destroy();
        const upstream = connectSocket(Number(port || 5672), hostname);
        const pair = [client, upstream] as const;
        proxy.#pairs.add(pair);
        for (const [from, to] of [pair, [upstream, client] as const]) {
          from.on('data', (bytes: Buffer) => {
            if (from === client && proxy.#lastWord && bytes.includes(proxy.#lastWord)) proxy.#cutAtLastWord();
            else if (!proxy.#holding) to.write(bytes);
          });
          from.on('error', () => {});
          from.on('close', () => (to.destroy(), proxy.#pairs.delete(pair)));
        }
      }),
    );
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get url(): string {
    const url = new URL(amqpUrl);
    const { port } = this.server.address() as { port: number };
    return `amqp://${url.username}:${url.password}@127.0.0.1:${port}${url.pathname}`;
  }

  /** Ends every connection without a goodbye. */
  cut(): void {
    for (const [client, upstream] of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  /** Ends every connection as soon as one of them sends this method, which the broker does not get; once. */
  cutAt(classId: number, methodId: number): void {
    this.#lastWord = Buffer.from([0, classId, 0, methodId]);
  }

  #cutAtLastWord(): void {
    this.#lastWord = undefined;
    this.cut();
  }

  /** Whether new connections are turned away. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  /** Swallows everything from now on, in both directions. */
  hold(): void {
    this.#holding = true;
  }

  /** Says to every client what RabbitMQ says in an alarm (`connection.blocked`, or `unblocked` without a reason). */
  announce(reason?: string): void {
    const method = reason === undefined ? [0, 10, 0, 61] : [0, 10, 0, 60, reason.length, ...Buffer.from(reason)];
    const header = Buffer.from([1, 0, 0, 0, 0, 0, method.length]);
    for (const [client] of this.#pairs) client.write(Buffer.concat([header, Buffer.from(method), Buffer.from([0xce])]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.server.close();
  }
}
