import type { AnyEntity, EntityClass, EntitySchema, MikroORM } from '@mikro-orm/core';
import { MikroORM as PostgreSqlMikroORM } from '@mikro-orm/postgresql';
import { ConfigurationError } from '../../../../src/kernel/errors.js';
import { type CqrsEventName, type CqrsEvents, Events } from '../../../../src/kernel/events.js';
import { EXTENSION } from '../../../../src/kernel/extension.js';
import { type NativeConnection, saveRoundTrips } from '../../../../src/postgres/round-trips.js';
import { type Settings, type SettingsInput, settingsOrThrow } from '../../../../src/kernel/settings.js';
import type { Outcome, Received } from '../../../../src/messaging/inbox/handler.js';
import type { Applier } from '../../../../src/replication/replica/applier.js';
import type { ReplicaHost } from '../../../../src/replication/replica/definition/replica-entity.js';
import { ReplicaSide } from '../../../../src/replication/replica/replica-side.js';
import { Tombstone } from '../../../../src/replication/replica/rows/tombstones.js';

type Entities = readonly (EntityClass<AnyEntity> | EntitySchema)[];

/** A service that has replicas and nothing else: MikroORM, the applier, and no broker. */
export class ReplicaService implements ReplicaHost {
  readonly events = new Events();
  readonly seen: { name: CqrsEventName; fields: CqrsEvents[CqrsEventName] }[] = [];
  readonly settings: Settings;
  side!: ReplicaSide;
  orm!: MikroORM;

  constructor(settings: SettingsInput = {}) {
    this.settings = settingsOrThrow({ queue: 'test', ...settings });
    this.events.onAny((name, fields) => void this.seen.push({ name, fields }));
  }

  static async start(
    url: string,
    entities: Entities,
    settings: SettingsInput = {},
    { connections = 8, driverOptions = {} }: { connections?: number; driverOptions?: object } = {},
  ): Promise<ReplicaService> {
    const service = new ReplicaService(settings);
    service.orm = await PostgreSqlMikroORM.init({
      clientUrl: url,
      pool: { max: connections },
      driverOptions,
      ...service.mikroOrmOptions(entities),
    });
    saveRoundTrips(service.orm.driver.getConnection('write') as unknown as NativeConnection);
    return service;
  }

  /** What `Cqrs` does with MikroORM for its replica side. */
  mikroOrmOptions(entities: Entities) {
    return {
      entities: [...entities, Tombstone] as never,
      extensions: [
        {
          register: (orm: MikroORM): void => {
            this.side = new ReplicaSide({ orm, settings: this.settings, events: this.events });
            orm.config.registerExtension(EXTENSION, () => this);
            orm.config.set('discovery', {
              ...orm.config.get('discovery'),
              afterDiscovered: (storage) => {
                const problems = this.side.discover([...storage]);
                if (problems.length > 0) throw new ConfigurationError(problems);
              },
            });
          },
        },
      ],
    };
  }

  get replicaRuntime(): Applier {
    return this.side.createApplier();
  }

  handle(batch: readonly Received[]): Promise<readonly Outcome[]> {
    return this.side.createApplier().handle(batch);
  }

  /** Rows with every value as PostgreSQL prints it. */
  async rows(sql: string, parameters: unknown[] = []): Promise<Record<string, string | null>[]> {
    return this.orm.em.getConnection().execute(sql, parameters);
  }

  async stop(): Promise<void> {
    await this.orm.close();
  }
}
