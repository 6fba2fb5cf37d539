import type { Problem } from '../kernel/errors.js';
import type { Events } from '../kernel/events.js';
import { Heartbeat } from '../kernel/heartbeat.js';
import type { Settings } from '../kernel/settings.js';
import {
  checkActivityTable,
  type Executor,
  rememberBindings,
  rememberFields,
  type SentFields,
} from './activity-table.js';
import { deadLetterTimes, findExpiringByQueue } from './deaths.js';
import type { Look } from './observer.js';
import { type Activity, type ActivityOptions, NO_ACTIVITY, readActivity } from './read-activity.js';
import { ActivityRecorder } from './recorder.js';
import type { ProcessRole } from './records.js';
import { decide, type Health, type HeldBacklog } from './verdict.js';

export interface ActivitySideParts {
  readonly events: Events;
  readonly settings: Settings;
  readonly client: () => Promise<Executor>;
  /** The table as SQL names it; asked for once MikroORM is there. */
  readonly table: () => string;
  /** Whether the service has masters or replicas: others have nothing to tell, and no table. */
  readonly takesPart: () => boolean;
  /** Whether this service declares the id. */
  readonly declares: (cqrsId: string) => boolean;
  readonly outboxState: () => Promise<
    (HeldBacklog & { readonly depth: number; readonly oldestAgeMs: number | null; readonly failed: number }) | undefined
  >;
  readonly inspect: (queue: string) => Promise<{ readonly messages: number } | undefined>;
  readonly deadLetterQueueOf: (queue: string) => string;
}

/** All that a process sees and tells of itself, put together for one Cqrs. */
export class ActivitySide {
  readonly #recorder: ActivityRecorder;
  /** Loops that are in the middle of a step. */
  readonly #busy = new Set<Heartbeat>();

  constructor(private readonly parts: ActivitySideParts) {
    this.#recorder = new ActivityRecorder({
      ...parts,
      table: () => (this.isRecorded ? parts.table() : undefined),
      knows: parts.declares,
      look: (roles, queue) => this.#look(roles, queue),
      reasons: () => this.health([]).reasons,
    });
  }

  /** Whether processes write to the table. */
  get isRecorded(): boolean {
    return this.parts.settings.activity.enabled && this.parts.takesPart();
  }

  /** For a part that runs a loop. */
  heartbeat(name: string): Heartbeat {
    return new Heartbeat(name, this.#busy);
  }

  join(role: ProcessRole): void {
    this.#recorder.join(role);
  }

  /** @see Cqrs.recordActivity */
  record(): Promise<void> {
    return this.#recorder.flush();
  }

  close(): Promise<void> {
    return this.#recorder.close();
  }

  /** What the database lacks. */
  async checkTable(): Promise<Problem[]> {
    return this.isRecorded ? checkActivityTable(await this.parts.client(), this.parts.table()) : [];
  }

  /** For the consumer of a worker. */
  forWorker(): { readonly heartbeat: Heartbeat; readonly newlyBound: ActivitySide['newlyBound'] } {
    return { heartbeat: this.heartbeat('worker'), newlyBound: (queue, cqrsIds) => this.newlyBound(queue, cqrsIds) };
  }

  /** Remembers which ids a queue is bound to; answers those that were not before. None where nothing is remembered. */
  async newlyBound(queue: string, cqrsIds: readonly string[]): Promise<readonly string[]> {
    if (!this.isRecorded || cqrsIds.length === 0) return [];
    return rememberBindings(await this.parts.client(), this.parts.table(), queue, cqrsIds);
  }

  /** The process writes masters, which send these fields: others than when one last began to are told. */
  async joinAsMaster(masters: readonly SentFields[]): Promise<void> {
    this.join('master');
    if (!this.isRecorded || masters.length === 0) return;
    for (const changed of await rememberFields(await this.parts.client(), this.parts.table(), masters)) {
      this.parts.events.emit('cqrs.master.fields-changed', changed);
    }
  }

  /** @see Cqrs.activity */
  async read(options: ActivityOptions): Promise<Activity> {
    if (!this.isRecorded) return { ...NO_ACTIVITY, now: new Date().toISOString() };
    const client = await this.parts.client();
    const times = deadLetterTimes(this.parts.settings.replica);
    return {
      ...(await readActivity(client, this.parts.table(), options)),
      expiring: times ? await findExpiringByQueue(client, this.parts.table(), times) : {},
    };
  }

  /** @see Cqrs.health */
  health(roles: readonly ProcessRole[]): Health {
    const { circumstances, backlog } = this.#recorder.observer;
    const busy = [...this.#busy].map(({ name, busyMs }) => {
      return { name, busyMs, since: new Date(Date.now() - busyMs).toISOString() };
    });
    const missing = roles.filter((role) => !this.#recorder.roles.has(role));
    return decide({ missing, busy, conditions: circumstances.conditions, backlog }, this.parts.settings.health);
  }

  /** @see Cqrs.depths */
  get depths(): Look | undefined {
    return this.#recorder.observer.lastLook;
  }

  async #look(roles: ReadonlySet<ProcessRole>, queue: string | null): Promise<Look> {
    const { outboxState, inspect, deadLetterQueueOf } = this.parts;
    const outbox = roles.has('relay') ? await outboxState() : undefined;
    const ask = async (name: string): Promise<number | null> =>
      (await inspect(name).catch(() => undefined))?.messages ?? null;
    const consuming = roles.has('worker') && queue !== null;
    return {
      outboxDepth: outbox?.depth ?? null,
      outboxOldestMs: outbox?.oldestAgeMs ?? null,
      outboxFailed: outbox?.failed ?? null,
      outboxHeld: outbox ? { held: outbox.held, refusal: outbox.refusal } : null,
      queueDepth: consuming ? await ask(queue) : null,
      deadLetters: consuming ? await ask(deadLetterQueueOf(queue)) : null,
    };
  }
}
