import { AsyncLocalStorage } from 'node:async_hooks';
import type { EntityMetadata, MetadataStorage, MikroORM, TriggerDef } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { CompiledQuery } from 'kysely';
import type { Problem } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { failPoint } from '../../kernel/fail-points.js';
import { quoted } from '../../postgres/identifiers.js';
import { Registry } from '../declare/registry.js';
import type { Settings } from '../../kernel/settings.js';
import type { SqlWrite } from '../../postgres/sql-statements.js';
import { HELD_VERSION, HeldMessage, type OutboxState, readOutboxState } from '../../messaging/outbox/held-messages.js';
import { nextIncarnation, raiseSequence, sequenceOf } from '../../messaging/outbox/incarnations.js';
import { type Executor, OUTBOX_VERSION, OutboxMessage, type Tables } from '../../messaging/outbox/outbox.js';
import { KnownRoute, ROUTES_VERSION } from '../../messaging/outbox/routes.js';
import { SENT_VERSION, SentMessage } from '../../messaging/outbox/sent-messages.js';
import { Announcer } from './announce/announcer.js';
import { checkSequence } from './checks/check-sequence.js';
import { captureTriggers, type TriggerDefinition, type TriggerTarget } from './triggers/capture-triggers.js';
import { CAPTURED_VERSION, CapturedChange, readNotedState, withNoted } from './triggers/captured-changes.js';
import { checkTables, type ExpectedTable, expectedTable } from './checks/check-tables.js';
import { checkTriggers } from './triggers/check-triggers.js';
import { learnDriverTypes } from './definition/column-oids.js';
import { databaseWrites } from './checks/database-writes.js';
import { defineMasters } from './definition/define-masters.js';
import type { MasterDefinition, MasterTable } from './definition/master-table.js';
import { MasterRuntime } from './master-runtime.js';
import type { Capture } from './definition/master-statics.js';
import { MessageMaker } from './triggers/message-maker.js';
import type { CapturedDriver } from './mikro-orm-internals.js';
import { describeOwnProperties } from './definition/own-properties.js';
import { mayWriteByItself, muteStatements } from './triggers/muted-statements.js';
import { partsWithoutTriggers } from './triggers/parts-without-triggers.js';
import { pivotTables } from './checks/pivot-tables.js';
import { readRelatedTables } from './checks/related-tables.js';
import { checkSession } from './checks/session-settings.js';
import { aroundClear, clearedBySchemaTools, keepTable } from './capture/schema-tools.js';
import { MasterSync } from './sync.js';
import { afterEachCommit, TransactionLog } from './capture/transaction-log.js';
import { type HeardConnection, UncapturedWrites } from './capture/uncaptured-writes.js';
import { WriteCapture } from './capture/write-capture.js';
import { contextText, tellTriggers } from './triggers/write-context.js';

type OwnTable =
  | typeof OutboxMessage
  | typeof HeldMessage
  | typeof KnownRoute
  | typeof SentMessage
  | typeof CapturedChange;

/** Everything that a service with masters has, put together: definitions, capture, announcing, SYNC. */
export class MasterSide {
  readonly masters = new Registry<MasterDefinition>();
  readonly runtime: MasterRuntime;
  readonly #announcer: Announcer;
  readonly #log: TransactionLog;
  readonly #muted = new AsyncLocalStorage<true>();
  readonly #quote: (identifier: string) => string;
  #tables: readonly MasterTable[] = [];
  readonly #triggers = new Map<MasterTable, readonly TriggerDefinition[]>();
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
      contextOf: (transaction) => this.#log.contextOf(transaction),
    });
    const { contextFunction } = settings.master;
    this.#log = new TransactionLog({
      ...(contextFunction ? { context: () => contextText(contextFunction) } : {}),
      begun: async (transaction, context) => {
        if (this.usesTriggers) await tellTriggers(transaction as unknown as Executor, context);
      },
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
      createMaker: () => this.#createMaker(),
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
    const { capture } = this.parts.settings.master;
    const { definitions, tables, problems } = defineMasters(
      entities,
      this.#quote,
      nextIncarnation(this.sequence),
      capture,
    );
    if (problems.length > 0) return problems;
    for (const definition of definitions) this.masters.add(definition);
    this.#tables = tables;
    if (!this.usesTriggers) keepTable(this.parts.orm.config, CapturedChange.meta.tableName);
    if (tables.length === 0) return [];
    this.#capture(entities, tables);
    // The schema generator makes what comes last first, and the defaults of masters need its sequence.
    const outbox = storage.find(OutboxMessage.meta.class as never)!;
    storage.reset(outbox.class as never);
    storage.set(outbox.class as never, outbox);
    for (const table of this.#triggered) {
      const triggers = captureTriggers(this.#targetOf(table));
      this.#triggers.set(table, triggers);
      table.root.triggers.push(...(triggers as TriggerDef[]));
    }
    return [];
  }

  /** What the database lacks for capture to work; nothing for a service without masters. */
  async checkTables(): Promise<Problem[]> {
    if (this.#tables.length === 0) return [];
    const { orm } = this.parts;
    const client = await this.#client();
    const own = (where: string, { meta }: OwnTable, version: number): ExpectedTable => {
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
      ...(this.#triggered.length > 0 ? [own('captured changes', CapturedChange, CAPTURED_VERSION)] : []),
      ...(this.keepsSent ? [own('relay.sentRetentionSeconds', SentMessage, SENT_VERSION)] : []),
      ...this.#tables.map((table) => expectedTable(table, this.#driver.getTableName(table.root, {}))),
    ]);
    if (problems.length === 0) problems.push(...(await this.#checkSequence(client)));
    const triggers = this.#triggered.map((table) => ({
      entity: table.root.className,
      sqlName: this.tableName(table.root),
      triggers: this.#triggers.get(table)!,
    }));
    // Without their tables there is nothing to ask for triggers.
    if (problems.length === 0) problems.push(...(await checkTriggers(client, triggers)));
    const settings = this.#captured('driver').map((table) => table.settings);
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
    const all = await readRelatedTables(
      client,
      new Map(this.#tables.map((table) => [this.#driver.getTableName(table.root, {}), table])),
    );
    for (const warning of partsWithoutTriggers(all)) this.parts.events.emit('cqrs.master.uncaptured', warning);
    const related = all.filter(({ master }) => master.capture === 'driver');
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
    const byDriver = tables.filter((table) => table.capture === 'driver');
    this.#uncaptured = new UncapturedWrites({ tables: byDriver, events: this.parts.events, isMuted });
    this.#uncaptured.install(connection as unknown as HeardConnection);
    this.#log.install(connection);
    if (byDriver.length > 0) {
      new WriteCapture({
        driver,
        log: this.#log,
        isMuted,
        announceNow: async (transaction, changes) => (await this.#announcer.announce(transaction, changes))(),
      }).install(byDriver);
    }
    if (byDriver.length < tables.length) {
      const { onCommitted } = this.parts;
      const inTransaction = this.parts.settings.master.contextFunction === null ? () => false : mayWriteByItself;
      muteStatements(connection, { isMuted, inTransaction, wrote: onCommitted });
      afterEachCommit(connection, onCommitted);
    }
  }

  #captured(capture: Capture): readonly MasterTable[] {
    return this.#tables.filter((table) => table.capture === capture);
  }

  get #triggered(): readonly MasterTable[] {
    return this.#captured('trigger');
  }

  #targetOf(table: MasterTable): TriggerTarget {
    const { orm, settings } = this.parts;
    const schemaOf = ({ schema }: EntityMetadata): string =>
      schema ?? orm.config.get('schema') ?? orm.driver.getPlatform().getDefaultSchemaName()!;
    const named = ({ meta }: OwnTable): string => `${quoted(schemaOf(meta))}.${quoted(meta.tableName)}`;
    return {
      table,
      schema: schemaOf(table.root),
      captured: named(CapturedChange),
      nextIncarnation: nextIncarnation(sequenceOf(named(OutboxMessage))),
      longest: settings.maxPayloadBytes,
    };
  }

  /**
   * Makes messages of what triggers have captured and answers whether there is more. Also of what they had captured when
   * the masters went back to the driver.
   */
  #createMaker(): () => Promise<boolean> {
    const { orm, settings, events } = this.parts;
    const captured = this.tableName(CapturedChange.meta);
    const outbox = this.outboxTable;
    const maker = new MessageMaker({
      orm,
      settings,
      events,
      announcer: this.#announcer,
      tables: this.#tables,
      captured,
      outbox,
    });
    let isThere: Promise<boolean> | undefined;
    return async () => {
      if (!this.usesTriggers && !(await (isThere ??= this.#exists(captured)))) return false;
      return maker.make();
    };
  }

  async #exists(sqlName: string): Promise<boolean> {
    const client = await this.#client();
    const { rows } = await client.executeQuery<{ found: boolean }>(
      CompiledQuery.raw('select to_regclass($1) is not null as found', [sqlName]) as CompiledQuery<{ found: boolean }>,
    );
    return rows[0]!.found;
  }

  /** Where triggers note changes, as SQL names it; undefined: nowhere. */
  get capturedTable(): string | undefined {
    return this.#triggered.length > 0 ? this.tableName(CapturedChange.meta) : undefined;
  }

  /** What waits for the broker, and for its message. */
  async outboxState(): Promise<OutboxState> {
    const client = await this.#client();
    const waiting = await readOutboxState(client, this.tables);
    const table = this.capturedTable;
    return table === undefined ? waiting : withNoted(waiting, await readNotedState(client, table));
  }

  /** Whether changes that have no message yet are known only to the database. */
  get usesTriggers(): boolean {
    return this.#triggered.length > 0;
  }
}
