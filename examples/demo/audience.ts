import { Events, TransportPayload, type Transport } from 'mikro-orm-cqrs';
import type { DemoService, Stage } from './services.ts';
import type { Screen } from './screen.ts';

/** What travelled about one row since the last look, and what became of it. */
interface Act {
  readonly travelled: string[];
  readonly outcomes: (() => void)[];
}

/** Watches both ends: what travels (with a queue of its own), and what becomes of it on the replica. */
export class Audience {
  #announced = 0;
  #ended = 0;
  #travelled = 0;
  #check: () => void = () => {};
  #tap?: Transport;
  readonly #acts = new Map<string, Act>();

  constructor(private readonly screen: Screen) {}

  async watch(stage: Stage, bank: DemoService, shop: DemoService): Promise<void> {
    const { screen } = this;
    bank.cqrs.events.on('cqrs.master.announced', ({ count }) => (this.#announced += count));
    const { events } = shop.cqrs;
    events.on('cqrs.inbox.applied', ({ action, cqrsId, instancePk }) =>
      this.#end(cqrsId, instancePk, () => screen.applied(`${action} ${cqrsId} ${instancePk}`)),
    );
    events.on('cqrs.inbox.skipped', ({ cqrsId, instancePk, reason }) =>
      this.#end(cqrsId, instancePk, () => screen.applied(`${cqrsId} ${instancePk} was not needed: ${reason}`)),
    );
    events.on('cqrs.inbox.retried', ({ cqrsId, instancePk, retries, delayMs }) =>
      this.#act(cqrsId, instancePk).outcomes.push(() =>
        screen.trouble(`attempt ${retries + 1} failed; again in ${delayMs} ms`),
      ),
    );
    events.on('cqrs.inbox.dead-lettered', ({ cqrsId, instancePk, error, reason }) =>
      this.#end(cqrsId, instancePk, () => screen.trouble(`a dead letter: ${error?.message ?? reason}`)),
    );
    await this.#listen(stage);
  }

  /** Resolves when every message announced so far has come to its end, and tells what happened, row by row. */
  async settled(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#check = () => {
        if (this.#ended < this.#announced || this.#travelled < this.#announced) return;
        this.#check = () => {};
        resolve();
      };
      this.#check();
    });
    for (const { travelled, outcomes } of this.#acts.values()) {
      for (const text of travelled) this.screen.sent(text);
      for (const tell of outcomes) tell();
    }
    this.#acts.clear();
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
        this.#act(payload.cqrsId, String(payload.instancePk)).travelled.push(describe(payload));
        this.#travelled++;
        void delivery.ack().then(() => this.#check());
      },
    );
  }

  #act(cqrsId: string, instancePk: string): Act {
    const key = `${cqrsId} ${instancePk}`;
    const act = this.#acts.get(key) ?? { travelled: [], outcomes: [] };
    this.#acts.set(key, act);
    return act;
  }

  #end(cqrsId: string, instancePk: string, tell: () => void): void {
    this.#act(cqrsId, instancePk).outcomes.push(tell);
    this.#ended++;
    this.#check();
  }
}

function describe({ signalType, cqrsId, instanceData, previousData }: TransportPayload): string {
  const revision = String(instanceData['cqrs_revision']);
  const columns = Object.entries(instanceData).filter(([name]) => !name.startsWith('cqrs_'));
  const before = Object.values(previousData ?? {}).some((value) => value !== null);
  return (
    `${signalType} ${cqrsId} r${revision} ${JSON.stringify(Object.fromEntries(columns))}` +
    (before ? `   before: ${JSON.stringify(previousData)}` : '')
  );
}
