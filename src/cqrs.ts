import { deadLetterQueueOf } from './kernel/queue-names.js';
import type { EntityManager, MetadataStorage, MikroORM } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import type { Kysely } from 'kysely';
import { ActivitySide } from './activity/activity-side.js';
import { ActivityRow, type Executor } from './activity/activity-table.js';
import type { Look } from './activity/observer.js';
import type { Activity, ActivityOptions } from './activity/read-activity.js';
import type { ProcessRole } from './activity/records.js';
import type { Health } from './activity/verdict.js';
import { namingDatabase } from './postgres/database-unreachable.js';
import { ConfigurationError, type Problem } from './kernel/errors.js';
import { Events } from './kernel/events.js';
import { EXTENSION } from './kernel/extension.js';
import type { Registry } from './replication/declare/registry.js';
import { type NativeConnection, saveRoundTrips } from './postgres/round-trips.js';
import type { Service } from './kernel/service.js';
import { parseSettings, type Settings, type SettingsInput } from './kernel/settings.js';
import { refuseMisreadPasswords } from './kernel/url-secrets.js';
import { Consumer } from './messaging/inbox/consumer.js';
import type { MasterDefinition } from './replication/master/definition/master-table.js';
import type { MasterHost } from './replication/master/definition/master-entity.js';
import type { MasterRuntime, PendingAnnouncement } from './replication/master/master-runtime.js';
import { MasterSide } from './replication/master/master-side.js';
import {
  type RepairOptions,
  type RepairResult,
  RowSender,
  type SyncOptions,
  type SyncResult,
} from './replication/master/row-sender.js';
import { Drain } from './messaging/outbox/drain.js';
import type { OutboxState } from './messaging/outbox/held-messages.js';
import { RefusedMessages } from './messaging/outbox/refused-messages.js';
import { Relay } from './messaging/outbox/relay.js';
import { readSent, type SentMessageRow } from './messaging/outbox/sent-messages.js';
import { keepNeededTables, OWN_TABLES } from './own-tables.js';
import type { Applier } from './replication/replica/applier.js';
import type { ReplicaDefinition } from './replication/replica/definition/replica-definition.js';
import type { ReplicaHost } from './replication/replica/definition/replica-entity.js';
import { ReplicaSide } from './replication/replica/replica-side.js';
import type { TransportOption } from './brokers/by-name.js';
import { LazyTransport } from './brokers/lazy-transport.js';
import type { Transport } from './messaging/transport/transport.js';

export interface CqrsOptions extends SettingsInput {
  /** How messages travel. */
  readonly transport: TransportOption;
  /** The options of a transport given by class or name, e.g. `{ url: 'amqps://…' }`. */
  readonly transportOptions?: object;
}

/** What there is as soon as a `Cqrs` belongs to a MikroORM. */
interface Sides {
  readonly orm: MikroORM;
  readonly master: MasterSide;
  readonly replica: ReplicaSide;
  readonly activity: ActivitySide;
}

/** How a consumer of one service differs from the service's own. */
export interface ConsumerOptions {
  /** Default: `settings.queue`. */
  readonly queue?: string;
  /** Default: every replica of the service. Others are not bound, and need a queue of their own. */
  readonly cqrsIds?: readonly string[];
}

/**
 * Replication for one MikroORM: `MikroORM.init({ …, extensions: [cqrs] })`, then `await cqrs.start()`.
 *
 * It adds its tables to the entities (so that the schema generator and migrations make them), captures the writes of
 * masters, runs the relay, and makes consumers. Nothing is global: any number live in one process, one a MikroORM.
 */
export class Cqrs implements MasterHost, ReplicaHost {
  readonly settings: Settings;
  readonly events = new Events();
  /** Made and connected when it is first needed. */
  readonly transport: Transport;
  readonly refused = new RefusedMessages({
    client: () => this.#client(),
    tables: () => (this.masters.size > 0 ? this.#parts.master.tables : undefined),
    events: this.events,
    wake: () => this.#relay?.wake(),
  });
  #sides?: Sides;
  #applier?: Applier;
  #relay?: Relay;
  #started = false;
  readonly #services = new Set<Service>();
  /** Set by discovery, of a service that has masters or replicas. */
  #watchPool?: () => Promise<void>;

  /** @throws ConfigurationError listing every wrong or unknown option. */
  constructor(options: CqrsOptions) {
    const { transport, transportOptions = {}, ...rest } = options;
    const { settings, problems } = parseSettings(rest);
    if (!transport) {
      problems.push({
        where: 'settings.transport',
        what: 'it is missing.',
        cure: 'Pass new RabbitMQTransport({ url }).',
      });
    }
    if (!settings || problems.length > 0) throw new ConfigurationError(problems);
    this.settings = settings;
    this.transport = new LazyTransport(transport, transportOptions);
  }

  /** The masters of this service by `CQRS_ID`. */
  get masters(): Registry<MasterDefinition> {
    return this.#parts.master.masters;
  }

  /** The replicas of this service by `CQRS_ID`. */
  get replicas(): Registry<ReplicaDefinition> {
    return this.#parts.replica.replicas;
  }

  get orm(): MikroORM {
    return this.#parts.orm;
  }

  /** @internal For the methods of master classes. */
  get masterRuntime(): MasterRuntime {
    return this.#parts.master.runtime;
  }

  /** @internal For the methods of replica classes. */
  get replicaRuntime(): Applier {
    // MikroORM has its EntityManager only after it has found its entities.
    return (this.#applier ??= this.#parts.replica.createApplier());
  }

  /**
   * Called by MikroORM for each of its `extensions`, before it looks for entities.
   * @throws ConfigurationError when this `Cqrs` already belongs to another MikroORM.
   */
  register(orm: MikroORM): void {
    if (this.#sides) {
      throw new ConfigurationError([
        { where: 'Cqrs', what: 'it already belongs to a MikroORM.', cure: 'Make one Cqrs for each MikroORM.' },
      ]);
    }
    const { clientUrl, replicas = [] } = orm.config.getAll();
    refuseMisreadPasswords('clientUrl', [clientUrl, ...replicas.map((replica) => replica.clientUrl)]);
    const common = { orm, settings: this.settings, events: this.events };
    const master = new MasterSide({ ...common, onCommitted: () => this.#relay?.wake() });
    const replica = new ReplicaSide(common);
    const activity = new ActivitySide({
      ...common,
      client: async () => (await this.#client()) as Executor,
      table: () => master.tableName(ActivityRow.meta),
      takesPart: () => this.masters.size + this.replicas.size > 0,
      declares: (cqrsId) => this.declares(cqrsId),
      outboxState: () => this.outboxState(),
      inspect: (queue) => this.transport.inspect(queue),
      deadLetterQueueOf: (queue) => this.deadLetterQueueOf(queue),
    });
    this.#sides = { orm, master, replica, activity };

    const { config } = orm;
    config.registerExtension(EXTENSION, () => this);
    config.set('entities', [...config.get('entities'), ...OWN_TABLES]);
    if (config.get('entitiesTs').length > 0) config.set('entitiesTs', [...config.get('entitiesTs'), ...OWN_TABLES]);
    const discovery = config.get('discovery');
    config.set('discovery', {
      ...discovery,
      // Synchronous to its end: `new MikroORM()` does not wait for it.
      afterDiscovered: (storage: MetadataStorage, platform) => {
        this.#discover(storage);
        return discovery.afterDiscovered?.(storage, platform);
      },
    });
  }

  /**
   * Checks what only the database can tell, then runs what the service needs beside its own work: the relay on a master
   * (unless `relay.enabled` is false), the purge of old tombstones on a replica. Idempotent.
   * @throws ConfigurationError listing every missing table and column, with the command that makes them.
   * @throws DatabaseUnreachableError
   */
  async start(): Promise<void> {
    await this.check();
    const { master, activity } = this.#parts;
    if (this.masters.size > 0 && !this.#started) await activity.joinAsMaster(master.sentFields);
    this.#started = true;
    if (this.masters.size > 0 && this.settings.relay.enabled) {
      await (this.#relay ??= this.createRelay()).start();
    }
    if (this.replicas.size > 0 && this.#services.size === 0) {
      const purge = this.#parts.replica.createPurge();
      this.#services.add(purge);
      await purge.start();
    }
  }

  /** The checks of `start` alone. @throws ConfigurationError @throws DatabaseUnreachableError */
  async check(): Promise<void> {
    const { master, replica, activity, orm } = this.#parts;
    const problems: Problem[] = [];
    try {
      problems.push(...(await master.checkTables()));
      problems.push(...(await replica.checkTables()));
      problems.push(...(await activity.checkTable()));
    } catch (error) {
      throw namingDatabase(error, (orm.em as SqlEntityManager).getConnection('write').getConnectionOptions());
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
    await master.warnOfUncaptured();
    replica.warn();
  }

  /** Ends what `start` began and closes the transport; MikroORM stays open. */
  async stop(): Promise<void> {
    const services = [...this.#services, ...(this.#relay ? [this.#relay] : [])];
    await Promise.all(services.map((service) => service.stop()));
    await this.#sides?.activity.close();
    await this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Makes sure that the broker can be reached. Rejects with a TransportError; the next call tries anew. */
  connect(): Promise<void> {
    const { exchange, relay } = this.settings;
    return this.transport.connect({ events: this.events, exchange, publishTimeoutMs: relay.publishTimeoutMs });
  }

  /** A relay of its own; `start()` makes one unless `relay.enabled` is false. Start and stop it yourself. */
  createRelay(): Relay {
    return new Relay({
      client: () => this.#client(),
      tables: this.#parts.master.tables,
      sentTable: this.#parts.master.sentTable,
      transport: this.transport,
      make: this.masterRuntime.createMaker(),
      connect: () => this.connect(),
      settings: this.settings,
      events: this.events,
      heartbeat: this.#parts.activity.heartbeat('relay'),
    });
  }

  /**
   * A worker for this service's queue, inside the application; `cqrs consume` runs the same. Start and stop it yourself.
   * @throws ConfigurationError when there is no queue, or an id is not one of the replicas.
   */
  createConsumer(options: ConsumerOptions = {}): Consumer {
    const answers = this.#parts.replica.createAnswers(this.replicaRuntime);
    return new Consumer({
      transport: this.transport,
      connect: () => this.#parts.replica.checkOnce().then(() => this.connect()),
      handlers: [this.replicaRuntime],
      settings: this.settings,
      events: this.events,
      ...this.#parts.activity.forWorker(),
      answers: (question, cqrsIds) => answers.answer(question, cqrsIds),
      ...options,
    });
  }

  /** Runs imports and tests: masters written inside are not announced; their revisions move all the same. */
  withoutReplication<T>(work: () => Promise<T>): Promise<T> {
    return this.#parts.master.withoutReplication(work);
  }

  /**
   * What the open transaction of `em` will announce when it commits: one entry a row, in the order of first writes, as
   * the database has it now. What is not flushed yet is not among it; without a transaction there is nothing.
   */
  pending(em: EntityManager): PendingAnnouncement[] {
    return this.masterRuntime.pending(em);
  }

  /**
   * Sends the present state of every matching row as a SYNC, and resolves when the broker has taken them all.
   * @throws UnknownCqrsIdError
   * @throws InputError for options that contradict each other.
   */
  async sync(options: SyncOptions): Promise<SyncResult> {
    return this.#sending(options.cqrsId, (sender, definition) => sender.send(definition, options));
  }

  /** @internal For reconcile: sends one replica the present state of some rows, and withdraws others from it. */
  async repair(options: RepairOptions): Promise<RepairResult> {
    return this.#sending(options.cqrsId, (sender, definition) => sender.repair(definition, options));
  }

  /** What waits in the outbox; undefined for a service without masters. */
  async outboxState(): Promise<OutboxState | undefined> {
    return this.masters.size > 0 ? this.#parts.master.outboxState() : undefined;
  }

  /**
   * @internal For the admin page: the last messages of one row that the broker has, newest first; undefined when
   * `relay.sentRetentionSeconds` is not set.
   */
  async sentOf(cqrsId: string, key: readonly string[], limit: number): Promise<SentMessageRow[] | undefined> {
    const table = this.#parts.master.sentTable;
    const retentionSeconds = this.settings.relay.sentRetentionSeconds;
    if (table === undefined || retentionSeconds === null) return undefined;
    return readSent(await this.#client(), table, { cqrsId, key: JSON.stringify(key), retentionSeconds, limit });
  }

  /**
   * What the processes of this service have left word of in its database: who runs, what each has counted, the minutes of
   * the past, and noteworthy events.
   */
  activity(options: ActivityOptions = {}): Promise<Activity> {
    return this.#parts.activity.read(options);
  }

  /** Writes what this process has to say of itself now, and not at the next interval. Never rejects. */
  recordActivity(): Promise<void> {
    return this.#parts.activity.record();
  }

  /**
   * Whether this process is well, from what it has in memory: nobody is asked, so that the answer comes at once, whatever
   * is away. `roles`: what it was started for; without them it is not ready.
   */
  health({ roles = [] }: { roles?: readonly ProcessRole[] } = {}): Health {
    return this.#parts.activity.health(roles);
  }

  /** What waits where this process has to do with it, as it last looked, at most two minutes ago: nobody is asked. */
  depths(): Look | undefined {
    return this.#parts.activity.depths;
  }

  /** Whether this service has a master or replica of that id. */
  declares(cqrsId: string): boolean {
    return (this.masters.find(cqrsId) ?? this.replicas.find(cqrsId)) !== undefined;
  }

  /** Where the dead letters of a queue go. */
  deadLetterQueueOf(queue: string): string {
    return deadLetterQueueOf(this.settings, queue);
  }

  /** Adds to what this process says of itself; for commands that run beside the service. */
  joinAs(role: ProcessRole): void {
    this.#parts.activity.join(role);
  }

  /** Sends by the service's relay, or by one that runs as long as it is needed. */
  async #sending<T>(cqrsId: string, work: (sender: RowSender, definition: MasterDefinition) => Promise<T>): Promise<T> {
    const definition = this.masters.get(cqrsId);
    const { master } = this.#parts;
    await using own = this.#relay ? undefined : this.createRelay();
    await own?.start();
    const drain = new Drain({
      client: () => this.#client(),
      tables: master.tables,
      wake: () => (this.#relay ?? own)!.wake(),
    });
    return await work(new RowSender(master.sync(), drain), definition);
  }

  get #parts(): Sides {
    if (this.#sides) return this.#sides;
    throw new ConfigurationError([
      {
        where: 'Cqrs',
        what: 'it belongs to no MikroORM yet.',
        cure: 'Pass it: MikroORM.init({ extensions: [cqrs], … }).',
      },
    ]);
  }

  #discover(storage: MetadataStorage): void {
    const { master, replica } = this.#parts;
    const entities = [...storage].filter((meta) => meta.class);
    const problems = [...master.discover(entities, storage), ...replica.discover(entities)];
    if (problems.length > 0) throw new ConfigurationError(problems);
    const [masters, replicas] = [this.masters.size > 0, this.replicas.size > 0];
    const activity = this.#parts.activity.isRecorded;
    keepNeededTables(storage, { masters, replicas, sent: master.keepsSent, triggers: master.usesTriggers, activity });
    if (this.masters.size + this.replicas.size > 0) {
      this.#watchPool = saveRoundTrips(this.orm.driver.getConnection('write') as unknown as NativeConnection);
    }
  }

  async #client(): Promise<Kysely<never>> {
    const connection = (this.orm.em as SqlEntityManager).getConnection('write');
    await connection.ensureConnection();
    await this.#watchPool?.();
    return connection.getClient() as Kysely<never>;
  }
}
