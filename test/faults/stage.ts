import { Events } from '../../src/kernel/events.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { openMaster, openReplica, queueOf, queuesOf, type Scene, type Service } from './scene.ts';
import type { Servers } from './servers/servers.ts';
import { eventually } from './within.ts';

/** How far the replica is from the master, and what became of the messages. */
export interface Standing {
  /** Rows of the master that the replica lacks, or has in another state. */
  readonly lost: number;
  /** Rows of the replica that the master does not have. */
  readonly resurrected: number;
  /** Effects of hooks in the replica's database that happened more than once. */
  readonly duplicatedEffects: number;
}

type Row = { readonly key: string; readonly state: string };

/** Two databases and a place on the broker, with a view of both ends that no fault disturbs. */
export class Stage {
  private constructor(
    readonly servers: Servers,
    readonly scene: Scene,
    readonly master: Service,
    readonly replica: Service,
    private readonly broker: RabbitMQTransport,
  ) {}

  static async set(servers: Servers, settings: Pick<Scene, 'relay' | 'replica' | 'patienceMs'> = {}): Promise<Stage> {
    const amqpUrl = servers.rabbitmq.url;
    const masterUrl = await servers.createDatabase('master');
    const replicaUrl = await servers.createDatabase('replica');
    const scene: Scene = { ...settings, masterUrl, replicaUrl, amqpUrl, exchange: 'faults' };
    const [master, replica] = [await openMaster(scene), await openReplica(scene)];
    await master.orm.schema.create();
    await replica.orm.schema.create();
    const broker = new RabbitMQTransport({ url: amqpUrl });
    await broker.connect({ events: new Events(), exchange: scene.exchange, publishTimeoutMs: 10_000 });
    // The queue keeps nothing from before it exists.
    await using consumer = replica.cqrs.createConsumer();
    await consumer.start();
    return new Stage(servers, scene, master, replica, broker);
  }

  /** The same replica, with another master before it. */
  over(master: Service): Stage {
    return new Stage(this.servers, this.scene, master, this.replica, this.broker);
  }

  /** @param base the first of the hundred keys that one case has for itself */
  async standing(base: number): Promise<Standing> {
    const [there, here] = [await rows(this.master, base), await rows(this.replica, base)];
    const [twice] = await this.replica.orm.em.getConnection().execute<{ count: number }[]>(
      `select count(*)::int as count
         from (select from fault_effect where key between ${base} and ${base + 99} and action <> 'sync'
                group by key, version having count(*) > 1) as repeated`,
    );
    return {
      lost: [...there].filter(([key, state]) => here.get(key) !== state).length,
      resurrected: [...here.keys()].filter((key) => !there.has(key)).length,
      duplicatedEffects: twice!.count,
    };
  }

  /** Whether nothing is on its way any more and both sides are equal; `poison` rows wait among the dead letters. */
  async atRest(base: number, poison: number): Promise<boolean> {
    const { depth } = (await this.master.cqrs.outboxState())!;
    if (depth > 0 || (await this.onTheWay()) > 0 || (await this.#messages('dead_letter_')) < poison) return false;
    const { lost, resurrected } = await this.standing(base);
    return lost === 0 && resurrected === 0;
  }

  async settled(base: number, poison: number, deadlineMs: number): Promise<boolean> {
    // Our own view of the servers may have been cut as well.
    const atRest = (): Promise<boolean> => this.atRest(base, poison).catch(() => false);
    return eventually(deadlineMs, async () => (await atRest()) && (await atRest()));
  }

  /** What is left of a case that does not come to rest. */
  async describe(base: number): Promise<string> {
    const [there, here] = [await rows(this.master, base), await rows(this.replica, base)];
    const different = [...new Set([...there.keys(), ...here.keys()])].filter((key) => there.get(key) !== here.get(key));
    const state = { outbox: await this.master.cqrs.outboxState(), onTheWay: await this.onTheWay() };
    return `${JSON.stringify(state)} ${different.map((key) => `${key}: ${there.get(key)} / ${here.get(key)}`).join('; ')}`;
  }

  /** Messages that wait for the worker, now or after their delay. */
  async onTheWay(): Promise<number> {
    const queue = queueOf(this.scene);
    const [ready, , , parked] = await Promise.all(
      queuesOf(this.scene).map(async (name) => (await this.broker.inspect(name))?.messages ?? 0),
    );
    return ready! + parked! + (await this.#messages(`unreadable_`, queue));
  }

  /** The keys of all dead letters, each as often as it is there; afterwards there are none. */
  async takeDeadLetters(): Promise<number[]> {
    const queue = queueOf(this.scene);
    await using letters = await this.broker.openDeadLetters({ queue, deadLetterQueue: `dead_letter_${queue}` });
    const keys: number[] = [];
    for (;;) {
      const taken = (await letters?.take(100)) ?? [];
      if (taken.length === 0) return keys;
      for (const letter of taken) {
        keys.push(Number(JSON.parse(Buffer.from(letter.body).toString()).instance_pk));
        await letter.purge();
      }
    }
  }

  /** What is left when every process has stopped. @param poison the keys that belong among the dead letters */
  async endOfCase(
    base: number,
    poison: readonly number[],
  ): Promise<Standing & { readonly deadLetterCopies: number; readonly problems: string[] }> {
    const problems: string[] = [];
    const unsettled = await this.onTheWay();
    if (unsettled > 0) problems.push(`${unsettled} messages without an end`);
    const dead = await this.takeDeadLetters();
    const distinct = [...new Set(dead)].toSorted((a, b) => a - b);
    if (distinct.join() !== poison.join()) {
      problems.push(`dead letters ${distinct.join()} instead of ${poison.join()}`);
    }
    return { ...(await this.standing(base)), deadLetterCopies: dead.length - distinct.length, problems };
  }

  /** What the replica has of a row. */
  async replicaValue(id: number): Promise<number | undefined> {
    const [row] = await this.replica.orm.em
      .getConnection()
      .execute<{ value: number }[]>(`select value from fault_plain where id = ${id}`);
    return row?.value;
  }

  /** Which of these rows the master has: a fault may have refused their transaction. */
  async existing(ids: readonly number[]): Promise<number[]> {
    const found = await this.master.orm.em
      .getConnection()
      .execute<{ id: number }[]>(`select id from fault_watched where id in (${ids.join(', ')}) order by id`);
    return found.map(({ id }) => id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.master.cqrs.stop(), this.replica.cqrs.stop(), this.broker.close()]);
    await Promise.all([this.master.orm.close(), this.replica.orm.close()]);
  }

  async #messages(prefix: string, queue = queueOf(this.scene)): Promise<number> {
    return (await this.broker.inspect(`${prefix}${queue}`))?.messages ?? 0;
  }
}

/** Every row with its whole state; poison is meant never to reach the replica. */
async function rows({ orm }: Service, base: number): Promise<Map<string, string>> {
  const found = await orm.em.getConnection().execute<Row[]>(
    ['plain', 'watched']
      .map(
        (name) =>
          `select '${name} ' || id as key, row(value, text, cqrs_revision, cqrs_incarnation, cqrs_updated)::text as state
             from fault_${name} where text <> 'poison' and id between ${base} and ${base + 99}`,
      )
      .join(' union all '),
  );
  return new Map(found.map(({ key, state }) => [key, state]));
}
