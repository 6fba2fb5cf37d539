import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A wire that a test can cut: stands between us and one server. */
export class Proxy {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #server: Server;
  #latencyMs = 0;
  #refusing = false;
  #silent = false;

  private constructor(target: URL, defaultPort: number) {
    this.#server = createServer((client) =>
      this.#join(client, connect(Number(target.port) || defaultPort, target.hostname)),
    );
  }

  static async before(url: string, defaultPort: number): Promise<Proxy> {
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

  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends every connection without a goodbye; new ones work. */
  reset(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** New connections are cut as well, until `heal`. */
  refuse(): void {
    this.#refusing = true;
    this.reset();
  }

  /** Nothing passes any more in either direction, and nobody is told. Connections made meanwhile say nothing either. */
  swallow(): void {
    this.#silent = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.removeAllListeners('data').resume();
  }

  delay(milliseconds: number): void {
    this.#latencyMs = milliseconds;
  }

  /** New connections work again. What was swallowed stays so, as with a host that came back and forgot. */
  heal(): void {
    this.#refusing = false;
    this.#silent = false;
    this.#latencyMs = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client] as const]) {
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      if (this.#silent) from.resume();
      else from.on('data', (data) => this.#pass(data, to));
    }
    if (this.#refusing) this.reset();
  }

  #pass(data: Buffer, to: Socket): void {
    if (this.#latencyMs === 0) return void to.write(data);
    setTimeout(() => to.writable && to.write(data), this.#latencyMs);
  }
}
