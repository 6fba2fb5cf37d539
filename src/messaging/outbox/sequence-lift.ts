import type { Events } from '../../kernel/events.js';
import { INCARNATION_LEAD } from '../../kernel/incarnations.js';
import { pause, Service } from '../../kernel/service.js';
import { type Lift, liftSequence } from './incarnations.js';
import type { Executor } from './outbox.js';

const INTERVAL_MS = 1_000;
/** A clock that is slewed is not told. */
const TOLD_MICROS = 1_000_000;

/**
 * Keeps the sequence of incarnations ahead of the database's clock while a relay runs, and says when the clock is behind
 * what incarnations it has given.
 */
export class SequenceLift extends Service {
  #loop: Promise<void> = Promise.resolve();
  /** By how much the clock was behind when it was told. */
  #told = 0;
  #failing = false;

  constructor(
    private readonly parts: {
      readonly client: () => Promise<Executor>;
      readonly sequence: string;
      readonly events: Events;
    },
  ) {
    super();
  }

  protected override async onStart(): Promise<void> {
    this.#loop = this.#run();
  }

  protected override async onStop(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.signal.aborted) {
      try {
        this.#look(await liftSequence(await this.parts.client(), this.parts.sequence));
        this.#failing = false;
      } catch (error) {
        if (this.signal.aborted) return;
        if (!this.#failing) this.parts.events.emit('cqrs.relay.lift-failed', { error: error as Error });
        this.#failing = true;
      }
      await pause(INTERVAL_MS, this.signal);
    }
  }

  #look({ sequence, clock }: Lift): void {
    const behind = sequence - INCARNATION_LEAD - clock;
    if (behind <= 0) this.#told = 0;
    if (behind < this.#told + TOLD_MICROS) return;
    this.#told = behind;
    this.parts.events.emit('cqrs.relay.clock-back', { behindMs: Math.round(behind / 1_000) });
  }
}
