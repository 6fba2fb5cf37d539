import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Two sockets, one to each side of a wire. */
interface Pair {
  readonly sockets: readonly [client: Socket, server: Socket];
  /** Cut without a word: neither bytes nor an end pass any more. */
  dead: boolean;
}

/** A wire that a test can cut: stands between us and one server. */
export class Proxy implements AsyncDisposable {
  readonly #pairs = new Set<Pair>();
  readonly #server: Server;
  #latencyMs = 0;
  #bytesPerTick = Infinity;
  #refusing = false;
  #silent = false;

  private constructor(target: URL, defaultPort: number) {
    const port = Number(target.port) || defaultPort;
    this.#server = createServer((client) => this.#join(client, connect(port, target.hostname)));
  }

  /** @param defaultPort for a URL that names none */
  static async before(url: string, defaultPort = 0): Promise<Proxy> {
    const proxy = new Proxy(new URL(url), defaultPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** The same URL, by way of this proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String((this.#server.address() as AddressInfo).port);
    return changed.href;
  }

  /** How many are alive. */
  get connections(): number {
    return [...this.#pairs].filter(({ dead }) => !dead).length;
  }

  /** Ends every connection without a goodbye; new ones work. */
  reset(): void {
    for (const { sockets, dead } of this.#pairs) if (!dead) for (const socket of sockets) socket.resetAndDestroy();
  }

  /** New connections are cut as well, until `heal`. */
  refuse(): void {
    this.#refusing = true;
    this.reset();
  }

  /**
   * Half-open: nothing passes any more in either direction, not even the end of a connection, and nobody is told.
   * Connections made meanwhile say nothing either.
   */
  swallow(): void {
    this.#silent = true;
    for (const pair of this.#pairs) bury(pair);
  }

  delay(milliseconds: number): void {
    this.#latencyMs = milliseconds;
  }

  /** So few bytes pass every 10 ms in each direction, in order. */
  trickle(bytesPerTick: number): void {
    this.#bytesPerTick = bytesPerTick;
  }

  /** New connections work again. What was swallowed stays so, as with a host that came back and forgot. */
  heal(): void {
    this.#refusing = false;
    this.#silent = false;
    this.#latencyMs = 0;
    this.#bytesPerTick = Infinity;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, server: Socket): void {
    const pair: Pair = { sockets: [client, server], dead: false };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        if (!pair.dead) to.destroy();
        if (client.destroyed && server.destroyed) this.#pairs.delete(pair);
      });
      const lane = new Lane(to);
      from.on('data', (data) => pair.dead || lane.pass(data, this.#latencyMs, this.#bytesPerTick));
    }
    if (this.#silent) bury(pair);
    if (this.#refusing) this.reset();
  }
}

function bury(pair: Pair): void {
  pair.dead = true;
}

const TICK_MS = 10;

/** One direction of one connection: whatever slows it down, its bytes keep their order. */
class Lane {
  #last: Promise<void> | undefined;

  constructor(private readonly to: Socket) {}

  pass(data: Buffer, latencyMs: number, bytesPerTick: number): void {
    if (this.#last === undefined && latencyMs === 0 && bytesPerTick === Infinity) return this.#write(data);
    const arrival = performance.now() + latencyMs;
    const passing = (this.#last ?? Promise.resolve()).then(async () => {
      await pause(arrival - performance.now());
      for (let at = 0; at < data.length; at += bytesPerTick) {
        this.#write(data.subarray(at, at + Math.min(bytesPerTick, data.length)));
        if (bytesPerTick !== Infinity) await pause(TICK_MS);
      }
    });
    this.#last = passing;
    void passing.then(() => {
      if (this.#last === passing) this.#last = undefined;
    });
  }

  #write(data: Buffer): void {
    if (this.to.writable) this.to.write(data);
  }
}

async function pause(milliseconds: number): Promise<void> {
  if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
