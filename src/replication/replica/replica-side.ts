import type { EntityManager, EntityMetadata, MikroORM } from '@mikro-orm/core';
import { ConfigurationError, type Problem } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { Registry } from '../declare/registry.js';
import type { Settings } from '../../kernel/settings.js';
import { ReplicaAnswers } from './answers.js';
import { Applier } from './applier.js';
import { KnownTables } from './table/known-tables.js';
import { CyclicReferences } from './table/cyclic-references.js';
import { defineReplicas, type ReplicaDefinition } from './definition/replica-definition.js';
import { StampedFlush } from './hooks/stamped-flush.js';
import { Tombstone, TombstonePurge } from './rows/tombstones.js';

/** Everything that a service with replicas has, put together: definitions, the applier, the purge of tombstones. */
export class ReplicaSide {
  readonly replicas = new Registry<ReplicaDefinition>();
  /** What does not keep the service from starting, and will hurt one day. Filled by `checkTables`. */
  warnings: readonly Problem[] = [];
  readonly #tables = new KnownTables(this.replicas, () => this.tombstoneTable);
  #warned = false;
  readonly #cycles = new CyclicReferences(this.replicas);
  /** Wraps the driver, which MikroORM has only after it has found its entities. */
  #flushes?: StampedFlush;

  constructor(
    private readonly parts: { readonly orm: MikroORM; readonly settings: Settings; readonly events: Events },
  ) {}

  /** Finds the replicas among the entities; answers what is wrong with them. */
  discover(entities: readonly EntityMetadata[]): Problem[] {
    const { definitions, problems } = defineReplicas(entities, {
      quote: (identifier) => this.#quote(identifier),
      table: (meta) => this.#table(meta),
    });
    if (problems.length > 0) return problems;
    for (const definition of definitions) {
      this.replicas.add(definition);
      if (definition.path === 'none') hideFromSchema(definition.meta);
    }
    return [];
  }

  /** The tombstones as SQL names them. */
  get tombstoneTable(): string {
    return this.#table(Tombstone.meta);
  }

  createApplier(): Applier {
    const flushes = (this.#flushes ??= new StampedFlush(this.#em));
    const tombstones = this.tombstoneTable;
    return new Applier({
      ...this.parts,
      em: this.#em,
      replicas: this.replicas,
      tables: this.#tables,
      cycles: this.#cycles,
      tombstones,
      flushes,
    });
  }

  /** Tells masters what they ask about the rows here. */
  createAnswers(applier: Applier): ReplicaAnswers {
    return new ReplicaAnswers({
      em: this.#em,
      replicas: this.replicas,
      events: this.parts.events,
      tombstones: () => this.tombstoneTable,
      applier,
    });
  }

  /** Forgets old deletions as long as the service runs. */
  createPurge(): TombstonePurge {
    return new TombstonePurge({
      em: this.#em,
      events: this.parts.events,
      table: this.tombstoneTable,
      retentionSeconds: this.parts.settings.replica.tombstoneRetentionSeconds,
    });
  }

  /** What messages would founder on in the database. */
  async checkTables(): Promise<readonly Problem[]> {
    const { problems, warnings } = await this.#tables.check(this.#em.fork());
    this.warnings = problems.length > 0 ? warnings : [...warnings, ...(await this.#cycles.warnings(this.#em.fork()))];
    return problems;
  }

  /** The same where nobody has done it: a worker may be started alone. @throws ConfigurationError */
  async checkOnce(): Promise<void> {
    if (this.#warned) return;
    // Without a database messages wait for it, and so may this.
    const problems = await this.checkTables().catch(() => undefined);
    if (!problems) return;
    if (problems.length > 0) throw new ConfigurationError(problems);
    this.warn();
  }

  /** Tells what was found, once nothing keeps the service from starting. */
  warn(): void {
    this.#warned = true;
    for (const warning of this.warnings) this.parts.events.emit('cqrs.replica.warned', warning);
  }

  get #em(): EntityManager {
    return this.parts.orm.em;
  }

  #quote(identifier: string): string {
    return this.parts.orm.driver.getPlatform().quoteIdentifier(identifier);
  }

  // By the rules of every other table: a configured schema, else whatever the connection's search path says.
  #table(meta: EntityMetadata): string {
    const driver = this.parts.orm.driver as unknown as { getTableName(meta: EntityMetadata, options: object): string };
    return driver.getTableName(meta, {});
  }
}

// MikroORM makes no tables for entities that are read through an expression; this one gives no rows.
function hideFromSchema(meta: EntityMetadata): void {
  meta.expression = 'select null where false';
  meta.virtual = true;
}
