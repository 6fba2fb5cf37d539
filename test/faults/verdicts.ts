import type { Reason } from '../../src/activity/verdict.js';
import type { CqrsEventName } from '../../src/kernel/events.js';
import { readStatus } from '../../src/operations/status.js';
import type { Service } from './scene.ts';
import { eventually } from './within.ts';

type Code = Reason['code'];

const LOOK_EVERY_MS = 300;

/** What `cqrs status` says of a service, over and over, while something happens to it. */
export class Verdicts {
  readonly #seen = new Set<Code>();
  readonly #noted = new Set<string>();
  readonly #since = new Date().toISOString();
  readonly #problems = new Set<string>();
  #last: readonly Reason[] = [];
  #ended = false;
  readonly #looking: Promise<void>;

  private constructor(
    private readonly role: string,
    private readonly service: Service,
  ) {
    this.#looking = this.#look();
  }

  /** @param open makes the service that asks, which takes no other part. */
  static async of(role: string, open: () => Promise<Service>): Promise<Verdicts> {
    return new Verdicts(role, await open());
  }

  /** Waits until it has given this reason; then the trouble may end. */
  async gives(code: Code): Promise<void> {
    if (!(await eventually(20_000, async () => this.#seen.has(code)))) this.#say(`never said ${code}`);
  }

  /** Waits until it has this event among those that are worth a note. */
  async notes(event: CqrsEventName): Promise<void> {
    if (!(await eventually(20_000, async () => this.#noted.has(event)))) this.#say(`has no note of ${event}`);
  }

  /** All that was wrong with the verdicts: troubles that pass are no death, and leave nothing behind. */
  async end(): Promise<string[]> {
    // What was applied late is told for two minutes.
    const well = await eventually(150_000, async () => this.#last.length === 0);
    if (!well) this.#say(`in the end says ${this.#last.map(({ text }) => text).join(', ')}`);
    this.#ended = true;
    await this.#looking;
    await this.service.cqrs.stop();
    await this.service.orm.close();
    return [...this.#problems];
  }

  async #look(): Promise<void> {
    while (!this.#ended) {
      try {
        const { state, reasons, activity } = await readStatus(this.service.cqrs);
        // Whoever was killed in a case before this one is missed for an hour.
        this.#last = reasons.filter(({ code }) => code !== 'process-lost');
        for (const { code } of reasons) this.#seen.add(code);
        for (const { at, event } of activity.events) if (at > this.#since) this.#noted.add(event);
        if (state === 'dead') this.#say(`calls the service dead: ${reasons[0]!.text}`);
      } catch (error) {
        this.#say(`fails: ${(error as Error).message}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  #say(problem: string): void {
    this.#problems.add(`cqrs status of the ${this.role} ${problem}`);
  }
}
