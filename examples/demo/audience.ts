import { Events, TransportPayload, type Transport } from 'mikro-orm-cqrs';
import type { DemoService, Stage } from './services.ts';
import type { Screen } from './screen.ts';

/** Watches both ends: what travels (with a queue of its own), and what becomes of it on the replica. */
export class Audience {
  #announced = 0;
  #ended = 0;
  #check: () => void = () => {};
  #tap?: Transport;
  #travelled = 0;

  constructor(private readonly screen: Screen) {}

  async watch(stage: Stage, bank: DemoService, shop: DemoService): Promise<void> {
    bank.cqrs.events.on('cqrs.master.announced', ({ count }) => (this.#announced += count));
    const { events } = shop.cqrs;
    events.on('cqrs.inbox.applied', ({ action, cqrsId, instancePk }) => this.#end(`${action} ${cqrsId} ${instancePk}`));
    events.on('cqrs.inbox.skipped', ({ cqrsId, instancePk, reason }) => this.#end(`${cqrsId} ${instancePk}: ${reason}`));
    events.on('cqrs.inbox.retried', ({ cqrsId, instancePk, retries, delayMs }) =>
      this.screen.trouble(`${cqrsId} ${instancePk} failed (attempt ${retries + 1}); again in ${delayMs} ms`),
    );
    events.on('cqrs.inbox.dead-lettered', ({ cqrsId, instancePk, error, reason }) => {
      this.screen.trouble(`${cqrsId} ${instancePk} is a dead letter: ${error?.message ?? reason}`);
      this.#end();
    });
    await this.#listen(stage);
  }

  /** Resolves when every message announced so far has come to its end. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#check = () => {
        if (this.#ended < this.#announced || this.#travelled < this.#announced) return;
        this.#check = () => {};
        resolve();
      };
      this.#check();
    });
  }

  async close(): Promise<void> {
    await this.#tap?.close();
  }

  async #listen(stage: Stage): Promise<void> {
    this.#tap = stage.newTransport();
    await this.#tap.connect({ events: new Events(), exchange: stage.exchange, publishTimeoutMs: 5_000 });
    const queue = `${stage.exchange}_audience`;
    await this.#tap.consume(
      {
        queue,
        deadLetterQueue: `dead_letter_${queue}`,
        unreadableQueue: `unreadable_${queue}`,
        cqrsIds: ['account', 'payment'],
        prefetch: 100,
        deadLetterTtlMs: null,
      },
      (delivery) => {
        const payload = TransportPayload.fromMessage(delivery.body);
        const { cqrs_revision, cqrs_updated, ...data } = payload.instanceData;
        void cqrs_updated;
        this.screen.sent(`${payload.signalType} ${payload.cqrsId} r${String(cqrs_revision)} ${JSON.stringify(data)}`);
        if (payload.previousData && Object.values(payload.previousData).some((value) => value !== null)) {
          this.screen.note(`   before: ${JSON.stringify(payload.previousData)}`);
        }
        this.#travelled++;
        void delivery.ack().then(() => this.#check());
      },
    );
  }

  #end(text?: string): void {
    if (text) this.screen.applied(text);
    this.#ended++;
    this.#check();
  }
}
