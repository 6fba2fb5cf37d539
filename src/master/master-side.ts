import { AsyncLocalStorage } from 'node:async_hooks';
import type { EntityMetadata, MetadataStorage, MikroORM } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import type { Problem } from '../core/errors.js';
import type { Events } from '../core/events.js';
import { failPoint } from '../core/fail-points.js';
import { Registry } from '../core/registry.js';
import type { Settings } from '../core/settings.js';
import type { SqlWrite } from '../core/sql-statements.js';
import { HELD_VERSION, HeldMessage } from '../outbox/held-messages.js';
import { nextIncarnation, raiseSequence, sequenceOf } from '../outbox/incarnations.js';
import { type Executor, OUTBOX_VERSION, OutboxMessage, type Tables } from '../outbox/outbox.js';
import { KnownRoute, ROUTES_VERSION } from '../outbox/routes.js';
import { SENT_VERSION, SentMessage } from '../outbox/sent-messages.js';
import { Announcer } from './announcer.js';
import { checkSequence } from './check-sequence.js';
import { checkTables, type ExpectedTable, expectedTable } from './check-tables.js';
import { learnDriverTypes } from './column-oids.js';
import { databaseWrites } from './database-writes.js';
import { defineMasters } from './define-masters.js';
import type { MasterDefinition } from './master-definition.js';
import { MasterRuntime } from './master-runtime.js';
import type { MasterTable } from './master-table.js';
import type { CapturedDriver } from './mikro-orm-internals.js';
import { describeOwnProperties } from './own-properties.js';
import { pivotTables } from './pivot-tables.js';
import { readRelatedTables } from './related-tables.js';
import { checkSession } from './session-settings.js';
import { aroundClear, clearedBySchemaTools } from './schema-tools.js';
import { MasterSync } from './sync.js';
import { TransactionLog } from './transaction-log.js';
import { type HeardConnection, UncapturedWrites } from './uncaptured-writes.js';
import { WriteCapture } from './write-capture.js';

/** Everything that a service with masters has, put together: definitions, capture, announcing, SYNC. */
export class MasterSide {
  readonly masters = new Registry<MasterDefinition>();
  readonly runtime: MasterRuntime;
  readonly #announcer: Announcer;
  readonly #log: TransactionLog;
  readonly #muted = new AsyncLocalStorage<true>();
  readonly #quote: (identifier: string) => string;
  #tables: readonly MasterTable[] = [];
  #uncaptured?: UncapturedWrites;
  #outboxTable?: string;

  constructor(
    private readonly parts: {
      readonly orm: MikroORM;
      readonly settings: Settings;
      readonly events: Events;
      /** Called after each COMMIT that left something in the outbox. */
      readonly onCommitted: () => void;
    },
  ) {
    const { orm, settings, events, onCommitted } = parts;
    this.#quote = (identifier) => orm.driver.getPlatform().quoteIdentifier(identifier);
    this.#announcer = new Announcer({
      orm,
      settings,
      events,
      onCommitted,
      outboxTable: () => this.outboxTable,
    });
    this.#log = new TransactionLog({
      announce: async (transaction, changes) => {
        await failPoint(events, 'master.before-outbox-insert');
        const committed = await this.#announcer.announce(transaction, changes, { commitFollows: true });
        await failPoint(events, 'master.after-outbox-insert');
        return committed;
      },
      committed: () => failPoint(events, 'master.after-commit'),
    });
    this.runtime = new MasterRuntime({
      masters: this.masters,
      announcer: this.#announcer,
      log: this.#log,
      raiseIncarnations: (over) => this.#raiseIncarnations(over),
    });
  }

  /** The outbox as SQL names it: by the same rules as every other table. */
  get outboxTable(): string {
    return (this.#outboxTable ??= this.tableName(OutboxMessage.meta));
  }

  /** The outbox, and what the broker refuses of it. */
  get tables(): Tables {
    return {
      outbox: this.outboxTable,
      held: this.tableName(HeldMessage.meta),
      routes: this.tableName(KnownRoute.meta),
    };
  }

  /** Where incarnations come from, as SQL names it. */
  get sequence(): string {
    return sequenceOf(this.outboxTable);
  }

  /** Whether it is remembered what was sent of each row. */
  get keepsSent(): boolean {
    return this.masters.size > 0 && this.parts.settings.relay.sentRetentionSeconds !== null;
  }

  /** Where that is remembered, as SQL names it; undefined: nowhere. */
  get sentTable(): string | undefined {
    return this.keepsSent ? this.tableName(SentMessage.meta) : undefined;
  }

  /** By the names on the wire; what a serializer makes is not known before there are rows. */
  get sentFields(): { cqrsId: string; fields: string[] }[] {
    return [...this.masters]
      .filter(({ produce, serializer }) => produce && !serializer)
      .map(({ cqrsId, announced }) => ({ cqrsId, fields: announced.map(({ wire }) => wire) }));
  }

  /** An entity's table as SQL names it. */
  tableName(meta: EntityMetadata): string {
    return this.#driver.getTableName(meta, {});
  }

  /** Finds the masters among the entities and starts to capture their writes; answers what is wrong with them. */
  discover(entities: readonly EntityMetadata[], storage: MetadataStorage): Problem[] {
    const { definitions, tables, problems } = defineMasters(entities, this.#quote, nextIncarnation(this.sequence));
    if (problems.length > 0) return problems;
    for (const definition of definitions) this.masters.add(definition);
    this.#tables = tables;
    if (tables.length === 0) return [];
    this.#capture(entities, tables);
    // The schema generator makes what comes last first, and the defaults of masters need its sequence.
    const outbox = storage.find(OutboxMessage.meta.class as never)!;
    storage.reset(outbox.class as never);
    storage.set(outbox.class as never, outbox);
    return [];
  }

  /** What the database lacks for capture to work; nothing for a service without masters. */
  async checkTables(): Promise<Problem[]> {
    if (this.#tables.length === 0) return [];
    const { orm } = this.parts;
    const client = await this.#client();
    const own = (
      where: string,
      { meta }: typeof OutboxMessage | typeof HeldMessage | typeof KnownRoute | typeof SentMessage,
      version: number,
    ): ExpectedTable => {
      const fields = orm
        .getMetadata()
        .get(meta.class)
        .props.flatMap((property) => property.fieldNames);
      return { where, sqlName: this.tableName(meta), fields, master: false, version };
    };
    for (const table of this.#tables) await learnDriverTypes(client, table, this.tableName(table.root));
    const problems = await checkTables(client, [
      own('outbox', OutboxMessage, OUTBOX_VERSION),
      own('refused messages', HeldMessage, HELD_VERSION),
      own('routes', KnownRoute, ROUTES_VERSION),
      ...(this.keepsSent ? [own('relay.sentRetentionSeconds', SentMessage, SENT_VERSION)] : []),
      ...this.#tables.map((table) => expectedTable(table, this.#driver.getTableName(table.root, {}))),
    ]);
    if (problems.length === 0) problems.push(...(await this.#checkSequence(client)));
    const settings = this.#tables.map((table) => table.settings);
    return [...problems, ...(await checkSession(client, settings))];
  }

  #checkSequence(client: Executor): Promise<Problem[]> {
    const tables = this.#tables.map((table) => this.tableName(table.root));
    return checkSequence(client, { sequence: this.sequence, tables, lifts: this.parts.settings.relay.enabled });
  }

  /** Says what else than statements of MikroORM's writes masters, as the database and the metadata know it. */
  async warnOfUncaptured(): Promise<void> {
    if (!this.#uncaptured) return;
    const client = await this.#client();
    const related = await readRelatedTables(
      client,
      new Map(this.#tables.map((table) => [this.#driver.getTableName(table.root, {}), table])),
    );
    for (const { master, kind, schema, name } of related) {
      if (kind === 'itself') this.#uncaptured.locate(master, schema);
      else this.#uncaptured.know(master, name);
    }
    const tablesOf = (write: SqlWrite): readonly MasterTable[] => this.#uncaptured!.tablesOf(write);
    for (const warning of [
      ...(await databaseWrites({ client, related, tablesOf })),
      ...pivotTables(
        [...this.masters].map(({ meta }) => meta),
        (entity) => this.#isMaster(entity),
      ),
    ]) {
      this.parts.events.emit('cqrs.master.uncaptured', warning);
    }
  }

  withoutReplication<T>(work: () => Promise<T>): Promise<T> {
    return this.#muted.run(true, work);
  }

  async #raiseIncarnations(over: number): Promise<void> {
    const connection = (this.parts.orm.em as SqlEntityManager).getConnection('write');
    await connection.transactional((transaction) =>
      raiseSequence(transaction as unknown as Executor, this.sequence, over),
    );
  }

  sync(): MasterSync {
    return new MasterSync(this.parts.orm.em, this.#announcer, this.#log);
  }

  async #client(): Promise<Executor> {
    const connection = (this.parts.orm.em as SqlEntityManager).getConnection('write');
    await connection.ensureConnection();
    return connection.getClient() as unknown as Executor;
  }

  #isMaster(entity: unknown): boolean {
    const root = this.#driver.metadata.find(entity)?.root;
    return this.#tables.some((table) => table.root === root);
  }

  get #driver(): CapturedDriver {
    return this.parts.orm.driver as unknown as CapturedDriver;
  }

  #capture(entities: readonly EntityMetadata[], tables: readonly MasterTable[]): void {
    for (const meta of entities.filter((one) => tables.some((table) => table.root === one.root))) {
      describeOwnProperties(meta, nextIncarnation(this.sequence));
    }
    const driver = this.#driver;
    const connection = driver.getConnection('write');
    const isMuted = (): boolean => this.#muted.getStore() === true;
    aroundClear(this.parts.orm.config, async (clear) => {
      await this.withoutReplication(clear);
      if (!isMuted()) this.parts.events.emit('cqrs.master.uncaptured', clearedBySchemaTools(tables));
    });
    this.#uncaptured = new UncapturedWrites({ tables, events: this.parts.events, isMuted });
    this.#uncaptured.install(connection as unknown as HeardConnection);
    this.#log.install(connection);
    new WriteCapture({
      driver,
      log: this.#log,
      isMuted,
      announceNow: async (transaction, changes) => (await this.#announcer.announce(transaction, changes))(),
    }).install(tables);
  }
}
