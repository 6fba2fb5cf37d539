import { Proxy } from '../faults/proxy.ts';
import { openMaster, type Service } from '../faults/scene.ts';
import { Servers } from '../faults/servers/servers.ts';
import { Stage, type Standing } from '../faults/stage.ts';
import { eventually } from '../faults/within.ts';
import { KeptProcess } from './kept-process.ts';
import type { Model } from './model.ts';
import { readRows } from './rows.ts';

const RELAYS = 2;
const WORKERS = 3;
/** Within this time after the last fault everything is equal. */
export const SETTLED_MS = 60_000;

/** Two databases, a broker, two relays, three workers and one that writes, each on wires of its own. */
export class Arena implements AsyncDisposable {
  /** Faults of the servers that are not over. */
  readonly #under: Promise<void>[] = [];

  private constructor(
    readonly servers: Servers,
    readonly stage: Stage,
    readonly relays: readonly KeptProcess[],
    readonly workers: readonly KeptProcess[],
    readonly writer: Service,
    readonly writerWire: Proxy,
  ) {}

  static async open(): Promise<Arena> {
    const servers = await Servers.start();
    // A fault may hit the same message again and again; it must not die of that.
    const replica = { maxRetries: 1_000, batchSize: 20, prefetch: 100 };
    const stage = await Stage.set(servers, { relay: { batchSize: 20 }, replica, patienceMs: 4_000 });
    const { scene } = stage;
    const start = (role: 'master' | 'worker', count: number): Promise<KeptProcess[]> =>
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          KeptProcess.start(`${role === 'master' ? 'relay' : 'worker'} ${index + 1}`, role, scene),
        ),
      );
    const [relays, workers] = [await start('master', RELAYS), await start('worker', WORKERS)];
    const wire = await Proxy.before(scene.masterUrl);
    const writer = await openMaster({ ...scene, masterUrl: wire.through(scene.masterUrl) });
    return new Arena(servers, stage, relays, workers, writer, wire);
  }

  get processes(): readonly KeptProcess[] {
    return [...this.relays, ...this.workers];
  }

  /** Something happens to a server, and takes its time. */
  undergo(fault: Promise<unknown>): void {
    this.#under.push(fault.then(() => {}));
  }

  get undergoing(): boolean {
    return this.#under.length > 0;
  }

  /** Ends every fault. Rejects when a server or a process does not come back. */
  async heal(): Promise<void> {
    this.writerWire.heal();
    await Promise.all(this.#under);
    this.#under.length = 0;
    await Promise.all(this.processes.map((process) => process.ready()));
  }

  /** What is wrong when nothing is on its way any more, and how it stands. */
  async judge(base: number, model: Model): Promise<{ standing: Standing; problems: string[] }> {
    const problems: string[] = [];
    const settled = await this.stage.settled(base, 0, SETTLED_MS);
    if (!settled) problems.push(`not at rest after ${SETTLED_MS / 1_000} s: ${await this.stage.describe(base)}`);
    for (const { name, sound } of this.processes) if (!sound) problems.push(`${name} ended by itself`);
    const unacknowledged = async (): Promise<boolean> => (await this.servers.rabbitmq.unacknowledged()) === 0;
    if (!(await eventually(10_000, unacknowledged))) problems.push('a message is unacknowledged');
    const dead = await this.stage.takeDeadLetters();
    if (dead.length > 0) problems.push(`dead letters: ${dead.join()}`);
    problems.push(...model.differences(await readRows(this.stage.master.orm.em, base)));
    return { standing: await this.stage.standing(base), problems };
  }

  /** @returns what did not end when told */
  async close(): Promise<string[]> {
    await this.heal();
    const stopped = await Promise.all(
      this.processes.map(async (process) => [process.name, await process.stop()] as const),
    );
    await this.writer.cqrs.stop();
    await this.writer.orm.close();
    await this.writerWire[Symbol.asyncDispose]();
    await this.stage[Symbol.asyncDispose]();
    return stopped.filter(([, ended]) => !ended).map(([name]) => `${name} did not stop when told`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[Symbol.asyncDispose]();
  }
}
