import type { ChildProcess } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { connect } from 'amqplib';
import { eventually } from '../within.ts';
import type { ServerTls } from './certificates.ts';
import { ended, endServer, freePort, missing, ownFolder, removeFolder, startServer, tool } from './own-process.ts';

const READY_MS = 90_000;

/** A RabbitMQ of the suite's own: its own node, ports, folders, cookie and epmd; knows nothing of any other. */
export class OwnRabbitMQ implements AsyncDisposable {
  #server?: ChildProcess;
  #epmd?: ChildProcess;

  private constructor(
    readonly port: number,
    private readonly ports: { readonly distribution: number; readonly epmd: number },
    private readonly folder: string,
    private readonly bin: string,
    private readonly tls?: ServerTls,
    private readonly managementPort?: number,
  ) {}

  /**
   * @param tls with it, it takes nobody without TLS and a certificate
   * @param management with it, it has the management API
   * @throws with what to install where there is none
   */
  static async create({
    tls,
    management = false,
  }: { readonly tls?: ServerTls; readonly management?: boolean } = {}): Promise<OwnRabbitMQ> {
    const bin = findBinaries();
    const ports = { distribution: await freePort(), epmd: await freePort() };
    const managementPort = management ? await freePort() : undefined;
    const own = new OwnRabbitMQ(await freePort(), ports, ownFolder('rabbitmq'), bin, tls, managementPort);
    own.#configure();
    own.#epmd = startServer(['epmd', '-port', String(ports.epmd), '-address', '127.0.0.1'], own.#log, {});
    await own.start();
    return own;
  }

  get url(): string {
    return `${this.tls ? 'amqps' : 'amqp'}://guest:guest@127.0.0.1:${this.port}`;
  }

  /** Of its management API. */
  get managementUrl(): string {
    return `http://127.0.0.1:${this.managementPort}`;
  }

  /** By the management API, which is much faster than `rabbitmqctl`. @param path behind `/api/` */
  async manage(method: 'PUT' | 'POST' | 'DELETE', path: string, body?: object): Promise<void> {
    const headers = { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' };
    const url = `${this.managementUrl}/api/${path}`;
    const answer = await fetch(url, { method, headers, body: body ? JSON.stringify(body) : null });
    const { ok, status } = answer;
    await answer.arrayBuffer(); // else the connection stays open
    if (!ok && status !== 404) throw new Error(`${method} ${path}: ${status}`);
  }

  /** With it, `rabbitmqctl` means this broker. */
  get ctlEnv(): Record<string, string> {
    return { ...this.#env, PATH: `${this.bin}${delimiter}${process.env['PATH']}` };
  }

  /** Starts it with whatever it had on its disk. */
  async start(): Promise<void> {
    this.#server = startServer([join(this.bin, 'rabbitmq-server')], this.#log, { env: this.#env });
    const answers = async (): Promise<boolean> => {
      try {
        const certificates = this.tls && { ca: this.tls.ca, ...this.tls.client };
        await (await connect(this.url, { timeout: 2_000, ...certificates })).close();
        return true;
      } catch {
        return false;
      }
    };
    if ((await eventually(READY_MS, async () => ended(this.#server!) || answers())) && !ended(this.#server)) return;
    throw new Error(`RabbitMQ did not start: ${readFileSync(this.#log, 'utf8').slice(-2_000)}`);
  }

  /** `orderly` says goodbye to its clients and writes everything down; `crash` is kill -9. */
  async stop(how: 'orderly' | 'crash' = 'orderly'): Promise<void> {
    if (this.#server) {
      if (how === 'orderly') await this.eval('init:stop()');
      await endServer(this.#server, how === 'orderly' ? 'SIGTERM' : 'SIGKILL');
    }
    this.#server = undefined;
  }

  /** Stops and starts the broker inside its node: connections end, queues and messages stay. */
  async pauseApp(): Promise<void> {
    await this.#ctl('stop_app');
  }

  async resumeApp(): Promise<void> {
    await this.#ctl('start_app');
  }

  /** As if the memory were all in use: publishers are held back. */
  async raiseMemoryAlarm(): Promise<void> {
    await this.eval('vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1})');
  }

  async liftMemoryAlarm(): Promise<void> {
    await this.eval('vm_memory_monitor:set_vm_memory_high_watermark(0.4)');
  }

  /** How long a delivery may stay without an answer, for channels opened from now on. Default of the broker: 30 minutes. */
  async setConsumerTimeout(milliseconds: number): Promise<void> {
    await this.eval(
      `application:set_env(rabbit, channel_tick_interval, 200), application:set_env(rabbit, consumer_timeout, ${milliseconds})`,
    );
  }

  /** Lets every channel of a connection do what a broker answers with `channel.close`. @returns how many */
  async failChannels(): Promise<number> {
    const answer = await this.eval(
      "Channels = rabbit_channel:list(), [rabbit_channel:do(C, {'basic.ack', 4000000000, false}) || C <- Channels], length(Channels)",
    );
    return Number(answer);
  }

  /** Ends every connection as an operator does. */
  async closeConnections(): Promise<void> {
    await this.#ctl('close_all_connections', 'maintenance');
  }

  /** Messages of all queues that a consumer has in hand. */
  async unacknowledged(): Promise<number> {
    const answer = await this.eval(
      'lists:sum([proplists:get_value(messages_unacknowledged, I, 0) || I <- rabbit_amqqueue:info_all(<<"/">>, [messages_unacknowledged])])',
    );
    return Number(answer);
  }

  /** What an operator types: `rabbitmqctl …`. */
  async ctl(...args: string[]): Promise<string> {
    return (await this.#ctl(...args)).trim();
  }

  /** Bodies may have so many bytes, for channels opened from now on. Default of the broker: 128 MiB. */
  async limitMessageSize(bytes: number): Promise<void> {
    await this.eval(`application:set_env(rabbit, max_message_size, ${bytes})`);
  }

  /** Evaluates Erlang inside the broker. */
  async eval(expression: string): Promise<string> {
    return (await this.#ctl('eval', `${expression}.`)).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('crash');
    if (this.#epmd) await endServer(this.#epmd, 'SIGKILL');
    removeFolder(this.folder);
  }

  get #log(): string {
    return join(this.folder, 'log.txt');
  }

  get #env(): Record<string, string> {
    return {
      HOME: this.folder, // where Erlang keeps its cookie
      ERL_CRASH_DUMP: join(this.folder, 'crash.dump'),
      ERL_EPMD_PORT: String(this.ports.epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `cqrs_${this.port}@localhost`,
      // alone it would open a listener without TLS
      ...(!this.tls && { RABBITMQ_NODE_PORT: String(this.port) }),
      RABBITMQ_DIST_PORT: String(this.ports.distribution),
      RABBITMQ_MNESIA_BASE: join(this.folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(this.folder, 'log'),
      RABBITMQ_CONF_ENV_FILE: join(this.folder, 'env.conf'),
      RABBITMQ_CONFIG_FILE: join(this.folder, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(this.folder, 'plugins'),
    };
  }

  #configure(): void {
    for (const name of ['mnesia', 'log']) mkdirSync(join(this.folder, name));
    writeFileSync(join(this.folder, 'env.conf'), '');
    const plugins = this.managementPort === undefined ? '' : 'rabbitmq_management';
    writeFileSync(join(this.folder, 'plugins'), `[${plugins}].\n`);
    const settings = {
      ...(this.tls ? this.#demandCertificates(this.tls) : { 'listeners.tcp.local': `127.0.0.1:${this.port}` }),
      ...(this.managementPort !== undefined && {
        'management.tcp.ip': '127.0.0.1',
        'management.tcp.port': String(this.managementPort),
      }),
      'log.file.level': 'warning',
      'disk_free_limit.absolute': '50MB',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(join(this.folder, 'rabbitmq.conf'), lines.join(''));
  }

  #demandCertificates({ ca, server }: ServerTls): Record<string, string> {
    const file = (name: string, text: string): string => {
      const path = join(this.folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    return {
      'listeners.tcp': 'none',
      'listeners.ssl.local': `127.0.0.1:${this.port}`,
      'ssl_options.cacertfile': file('ca.pem', ca),
      'ssl_options.certfile': file('server.pem', server.cert),
      'ssl_options.keyfile': file('server.key', server.key),
      'ssl_options.verify': 'verify_peer',
      'ssl_options.fail_if_no_peer_cert': 'true',
    };
  }

  #ctl(...args: string[]): Promise<string> {
    const { RABBITMQ_NODENAME } = this.#env;
    return tool([join(this.bin, 'rabbitmqctl'), '--quiet', '--node', RABBITMQ_NODENAME!, ...args], { env: this.#env });
  }
}

/** The scripts themselves: Debian's on the PATH change the user, and with it the folders. */
function findBinaries(): string {
  const folders = [
    ...globSync('/usr/lib/rabbitmq/lib/*/sbin'),
    '/usr/lib/rabbitmq/bin',
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  const found = folders.find((folder) =>
    ['rabbitmq-server', 'rabbitmqctl'].every((name) => existsSync(join(folder, name))),
  );
  if (found === undefined) throw missing('RabbitMQ');
  return found;
}
