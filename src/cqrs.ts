import type { FilterQuery, MetadataStorage, MikroORM } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import type { Kysely } from 'kysely';
import { ConfigurationError, type Problem } from './core/errors.js';
import { Events } from './core/events.js';
import { EXTENSION } from './core/extension.js';
import type { Registry } from './core/registry.js';
import { pause } from './core/service.js';
import { parseSettings, type Settings, type SettingsInput } from './core/settings.js';
import type { MasterDefinition } from './master/master-definition.js';
import type { MasterHost } from './master/master-entity.js';
import type { MasterRuntime } from './master/master-runtime.js';
import { MasterSide } from './master/master-side.js';
import { countWaiting, OutboxMessage, readState, takeFailures, type OutboxState } from './outbox/outbox.js';
import { Relay } from './outbox/relay.js';
import { resolveTransport, type TransportOption } from './transport/by-name.js';
import type { Transport } from './transport/transport.js';

export interface CqrsOptions extends SettingsInput {
  /** How messages travel. */
  readonly transport: TransportOption;
  /** The options of a transport given by class or name, e.g. `{ url: 'amqps://…' }`. */
  readonly transportOptions?: object;
}

/**
 * Replication for one MikroORM: `MikroORM.init({ …, extensions: [cqrs] })`, then `await cqrs.start()`.
 *
 * It adds its tables to the entities (so that the schema generator and migrations make them), captures the writes of
 * masters, runs the relay, and makes consumers. Nothing is global: any number live in one process, one a MikroORM.
 */
export class Cqrs implements MasterHost {
  readonly settings: Settings;
  readonly events = new Events();
  #orm?: MikroORM;
  #masterSide?: MasterSide;
  #relay?: Relay;
  #transport?: Promise<Transport>;
  #connected?: Promise<void>;

  /** @throws ConfigurationError listing every wrong or unknown option. */
  constructor(private readonly options: CqrsOptions) {
    const { transport, transportOptions, ...rest } = options;
    const { settings, problems } = parseSettings(rest);
    if (!transport) problems.push({ where: 'settings.transport', what: 'it is missing.', cure: 'Pass new RabbitMQTransport({ url }).' });
    if (!settings || problems.length > 0) throw new ConfigurationError(problems);
    this.settings = settings;
  }

  /** The masters of this service by `CQRS_ID`. */
  get masters(): Registry<MasterDefinition> {
    return this.#master.masters;
  }

  /** @internal For the methods of master classes. */
  get masterRuntime(): MasterRuntime {
    return this.#master.runtime;
  }

  get orm(): MikroORM {
    if (this.#orm) return this.#orm;
    throw new ConfigurationError([
      { where: 'Cqrs', what: 'it belongs to no MikroORM yet.', cure: 'Pass it: MikroORM.init({ extensions: [cqrs], … }).' },
    ]);
  }

  /**
   * Called by MikroORM for each of its `extensions`, before it looks for entities.
   * @throws ConfigurationError when this `Cqrs` already belongs to another MikroORM.
   */
  register(orm: MikroORM): void {
    if (this.#orm) {
      throw new ConfigurationError([
        { where: 'Cqrs', what: 'it already belongs to a MikroORM.', cure: 'Make one Cqrs for each MikroORM.' },
      ]);
    }
    this.#orm = orm;
    this.#masterSide = new MasterSide({ orm, settings: this.settings, events: this.events, onCommitted: () => this.#relay?.wake() });
    const { config } = orm;
    config.registerExtension(EXTENSION, () => this);
    config.set('entities', [...config.get('entities'), OutboxMessage]);
    if (config.get('entitiesTs').length > 0) config.set('entitiesTs', [...config.get('entitiesTs'), OutboxMessage]);
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

  /** Checks what can be checked only now, and runs the relay if this service has masters. Idempotent. */
  async start(): Promise<void> {
    const problems = await this.#checkTables();
    if (problems.length > 0) throw new ConfigurationError(problems);
    this.#master.warnAboutCascades();
    if (this.masters.size > 0 && this.settings.relay.enabled) {
      this.#relay ??= this.createRelay();
      await this.#relay.start();
    }
  }

  /** Ends what `start` began and closes the transport; MikroORM stays open. */
  async stop(): Promise<void> {
    await this.#relay?.stop();
    await (await this.#transport?.catch(() => undefined))?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** A relay of its own; `start()` makes one unless `relay.enabled` is false. */
  createRelay(): Relay {
    const parts = {
      client: () => this.#client(),
      table: this.#master.outboxTable,
      transport: { publish: async (messages) => (await this.#getTransport()).publish(messages) } satisfies Pick<Transport, 'publish'>,
      connect: () => this.#connect(),
      settings: this.settings,
      events: this.events,
    };
    return new Relay(parts);
  }

  /** Runs imports and tests: masters written inside are not announced; their revisions move all the same. */
  withoutReplication<T>(work: () => Promise<T>): Promise<T> {
    return this.#master.withoutReplication(work);
  }

  /**
   * Sends the present state of every matching row as a SYNC, and resolves when the broker has taken them all.
   * @param options.filter MikroORM's query syntax; default: every row. `queue`: one replica's queue; default: all.
   * @throws UnknownCqrsIdError
   */
  async sync(options: {
    cqrsId: string;
    filter?: FilterQuery<object>;
    queue?: string;
    pageSize?: number;
    onProgress?: (progress: SyncResult) => void;
    signal?: AbortSignal;
  }): Promise<SyncResult> {
    const definition = this.masters.get(options.cqrsId);
    const result = { synced: 0, withdrawn: 0, unroutable: 0 };
    await using relay = this.#relay ? undefined : this.createRelay();
    await relay?.start();
    const pages = this.#master.sync().pages(definition, {
      where: options.filter,
      queue: options.queue ?? null,
      pageSize: options.pageSize ?? 1_000,
    });
    for await (const page of pages) {
      (this.#relay ?? relay)!.wake();
      result.unroutable += await this.#untilRelayed(page.outboxIds, options.signal);
      result.synced += page.synced;
      result.withdrawn += page.withdrawn;
      options.onProgress?.({ ...result });
      if (options.signal?.aborted) break;
    }
    return result;
  }

  /** What waits in the outbox; undefined for a service without masters. */
  async outboxState(): Promise<OutboxState | undefined> {
    return this.masters.size > 0 ? readState(await this.#client(), this.#master.outboxTable) : undefined;
  }

  async #untilRelayed(ids: readonly string[], signal = new AbortController().signal): Promise<number> {
    const client = await this.#client();
    const table = this.#master.outboxTable;
    while ((await countWaiting(client, table, ids)) > 0 && !signal.aborted) await pause(20, signal);
    return takeFailures(client, table, ids);
  }

  get #master(): MasterSide {
    return this.orm && this.#masterSide!;
  }

  #discover(storage: MetadataStorage): void {
    const entities = [...storage].filter((meta) => meta.class);
    const problems = this.#master.discover(entities);
    if (problems.length > 0) throw new ConfigurationError(problems);
    // A service without masters has no outbox: its schema stays its own.
    if (this.masters.size === 0) storage.reset(OutboxMessage.meta.class as never);
  }

  async #checkTables(): Promise<Problem[]> {
    return [];
  }

  async #client(): Promise<Kysely<never>> {
    const connection = (this.orm.em as SqlEntityManager).getConnection('write');
    await connection.ensureConnection();
    return connection.getClient() as Kysely<never>;
  }

  #getTransport(): Promise<Transport> {
    return (this.#transport ??= resolveTransport(this.options.transport, this.options.transportOptions ?? {}));
  }

  async #connect(): Promise<void> {
    this.#connected ??= this.#getTransport()
      .then((transport) =>
        transport.connect({
          events: this.events,
          exchange: this.settings.exchange,
          publishTimeoutMs: this.settings.relay.publishTimeoutMs,
        }),
      )
      .catch((error: unknown) => {
        this.#connected = undefined;
        throw error;
      });
    return this.#connected;
  }
}

/** How many rows went as SYNC, how many as DELETE since they no longer match, and how many no queue would take. */
export interface SyncResult {
  readonly synced: number;
  readonly withdrawn: number;
  readonly unroutable: number;
}
