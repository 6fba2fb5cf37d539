import { pause, Service } from '../../kernel/service.js';
import { answer } from '../http/answer.js';
import { ApiProblem } from '../http/api-problem.js';
import type { AdminParts } from '../http/call.js';
import type { Job, LiveEvents } from '../contract.js';
import { jobTable } from '../jobs/job-store.js';
import { toJob } from '../jobs/job-view.js';
import { toEvent, toProcess } from './present.js';

/**
 * Server-sent events for the pages that are open. One loop looks for all of them, and only while there are any:
 *
 *   first page opens ─▶ look, tell what has changed, wait ─▶ … ─▶ last page closes
 */

const LOOK_MS = 2_000;
const HEARTBEAT_MS = 15_000;
/** Then the browser connects again by itself, and is asked anew who it is. */
const LONGEST_MS = 15 * 60_000;
const MOST_PAGES = 500;
/** A page that does not read is not written to; it asks again when it does. */
const MOST_UNREAD = 64;

interface Page {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly since: number;
  beat: number;
}

export class LiveFeed {
  readonly #pages = new Set<Page>();
  readonly #encoder = new TextEncoder();
  #loop?: Loop;
  #stopped = false;

  constructor(private readonly parts: AdminParts) {}

  /** How many pages listen. */
  get size(): number {
    return this.#pages.size;
  }

  /** @throws ApiProblem when too many listen already. */
  async open(signal: AbortSignal): Promise<Response> {
    if (this.#stopped || this.#pages.size >= MOST_PAGES) {
      throw new ApiProblem('unavailable', 'Too many pages are open.', {
        cure: 'Close some; the others reload by hand.',
      });
    }
    const overview = await this.parts.overview.look();
    let page: Page;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const now = performance.now();
          page = { controller, since: now, beat: now };
          this.#pages.add(page);
          this.#write(page, 'retry: 2000\n\n');
          this.#write(page, text('overview', overview));
        },
        cancel: () => this.#forget(page),
      },
      new CountQueuingStrategy({ highWaterMark: MOST_UNREAD }),
    );
    // A request that was given up while its answer was made is never read, and so never cancelled.
    if (signal.aborted) this.#end(page!);
    else this.#loop ??= this.#begin();
    return answer(200, body, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const page of this.#pages) this.#end(page);
    await this.#loop?.stop();
  }

  #begin(): Loop {
    const loop = new Loop(this.parts, {
      tell: (name, data) => this.#tell(name, data),
      beat: () => this.#beat(),
    });
    void loop.start();
    return loop;
  }

  #tell<N extends keyof LiveEvents>(name: N, data: LiveEvents[N]): void {
    const message = text(name, data);
    for (const page of this.#pages) this.#write(page, message);
  }

  #beat(): void {
    const now = performance.now();
    for (const page of this.#pages) {
      if (now - page.since > LONGEST_MS) this.#end(page);
      else if (now - page.beat > HEARTBEAT_MS) {
        page.beat = now;
        this.#write(page, ':\n\n');
      }
    }
  }

  #write(page: Page, message: string): void {
    if ((page.controller.desiredSize ?? 0) <= 0) return;
    page.controller.enqueue(this.#encoder.encode(message));
  }

  #end(page: Page): void {
    if (!this.#pages.has(page)) return;
    this.#forget(page);
    page.controller.close();
  }

  #forget(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    const loop = this.#loop;
    this.#loop = undefined;
    void loop?.stop();
  }
}

function text<N extends keyof LiveEvents>(name: N, data: LiveEvents[N]): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

type Changed = LiveEvents['changed']['what'][number];

interface Listener {
  tell<N extends keyof LiveEvents>(name: N, data: LiveEvents[N]): void;
  beat(): void;
}

/** Looks every few seconds, and at once when a job of this process moves; tells what is not as it was. */
class Loop extends Service {
  readonly #known = new Map<string, string>();
  #running: Promise<void> = Promise.resolve();
  #wake?: () => void;
  #off?: () => void;

  constructor(
    private readonly parts: AdminParts,
    private readonly listener: Listener,
  ) {
    super();
  }

  protected override async onStart(): Promise<void> {
    this.#off = this.parts.jobs.onChange(() => this.#wake?.());
    this.#running = this.#run();
  }

  protected override async onStop(): Promise<void> {
    this.#off?.();
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    // What is there now has been shown already.
    await this.#look(() => {}).catch(() => {});
    while (!this.signal.aborted) {
      await this.#sleep();
      if (this.signal.aborted) return;
      this.listener.beat();
      // The database is away for a while: the page says so by itself, and this goes on.
      await this.#look((name, data) => this.listener.tell(name, data)).catch(() => {});
    }
  }

  async #look(tell: Listener['tell']): Promise<void> {
    const { cqrs, overview } = this.parts;
    const changed = new Set<Changed>();
    const now = await overview.look();
    const { at: _, ...path } = now;
    if (this.#isNew('overview', path)) tell('overview', now);
    if (this.#isNew('outbox', now.outbox)) changed.add('outbox');
    if (this.#isNew('dead letters', now.deadLetters?.messages)) changed.add('dead-letters');
    if (this.#isNew('replica', now.replica)) changed.add('replicas');
    const activity = await cqrs.activity({ seconds: 600, periodSeconds: 600, events: 20 });
    const processes = activity.processes.map(toProcess).map(({ id, alive, degraded }) => ({ id, alive, degraded }));
    if (this.#isNew('processes', processes)) changed.add('processes');
    for (const event of activity.events.map((noted) => toEvent(cqrs, noted)).toReversed()) {
      if (this.#isNew(`event ${event.id}`, event.text)) tell('event', event);
    }
    for (const job of await this.#jobs()) {
      if (!this.#isNew(`job ${job.id}`, { ...job, ratePerSecond: null, etaSeconds: null })) continue;
      tell('job', job);
      if (job.state === 'waiting' || job.state === 'running') continue;
      changed.add('jobs');
      if (job.kind.startsWith('dead-letters')) changed.add('dead-letters');
    }
    if (changed.size > 0) tell('changed', { what: [...changed] });
    this.#forgetOld();
  }

  async #jobs(): Promise<Job[]> {
    const jobs = await jobTable(this.parts.cqrs)
      .page({ limit: 20 })
      .catch(() => []);
    return jobs.map(toJob).toReversed();
  }

  #isNew(what: string, value: unknown): boolean {
    const is = JSON.stringify(value) ?? '';
    if (this.#known.get(what) === is) return false;
    this.#known.delete(what);
    this.#known.set(what, is);
    return true;
  }

  // Events and jobs come and go all day long.
  #forgetOld(): void {
    for (const what of this.#known.keys()) {
      if (this.#known.size <= 300) return;
      if (/^(event|job) /.test(what)) this.#known.delete(what);
    }
  }

  async #sleep(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await pause(LOOK_MS, AbortSignal.any([woken.signal, this.signal]));
    this.#wake = undefined;
    if (woken.signal.aborted) await pause(200, this.signal); // jobs move in steps; one look serves several
  }
}
