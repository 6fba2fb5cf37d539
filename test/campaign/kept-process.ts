import { Child, type Role } from '../faults/child.ts';
import { Proxy } from '../faults/proxy.ts';
import type { Scene } from '../faults/scene.ts';

/** A relay or a worker that is started again whenever it was killed, with a wire of its own to each server. */
export class KeptProcess {
  #child!: Child;
  #starting: Promise<void> | undefined;
  #frozen: Promise<void> | undefined;

  private constructor(
    readonly name: string,
    private readonly role: Role,
    private readonly scene: Scene,
    readonly wires: { readonly broker: Proxy; readonly database: Proxy },
  ) {}

  static async start(name: string, role: Role, scene: Scene): Promise<KeptProcess> {
    const database = role === 'master' ? 'masterUrl' : 'replicaUrl';
    const wires = { broker: await Proxy.before(scene.amqpUrl), database: await Proxy.before(scene[database]) };
    const wired: Scene = {
      ...scene,
      amqpUrl: wires.broker.through(scene.amqpUrl),
      [database]: wires.database.through(scene[database]),
    };
    const process = new KeptProcess(name, role, wired, wires);
    await process.#startChild();
    return process;
  }

  /** Whether it has not ended by itself. */
  get sound(): boolean {
    return this.#starting !== undefined || this.#child.running;
  }

  /** kill -9, and a new process in its place. @returns whether there was one to kill */
  kill(): boolean {
    if (this.#starting || !this.#child.running) return false;
    this.#starting = this.#replace().finally(() => (this.#starting = undefined));
    this.#starting.catch(() => {}); // told by `ready`
    return true;
  }

  freeze(milliseconds: number): boolean {
    if (this.#starting || this.#frozen || !this.#child.running) return false;
    this.#frozen = this.#child.freeze(milliseconds).finally(() => (this.#frozen = undefined));
    return true;
  }

  /** Resolves when it runs and its wires are sound. */
  async ready(): Promise<void> {
    for (const wire of Object.values(this.wires)) wire.heal();
    await this.#frozen;
    await this.#starting;
  }

  /** @returns whether it ended when told */
  async stop(): Promise<boolean> {
    await this.ready();
    const stopped = await this.#child.stop();
    await Promise.all(Object.values(this.wires).map((wire) => wire[Symbol.asyncDispose]()));
    return stopped;
  }

  async #replace(): Promise<void> {
    await this.#child.kill();
    await this.#startChild();
  }

  async #startChild(): Promise<void> {
    this.#child = await Child.start(this.role, this.scene);
  }
}
