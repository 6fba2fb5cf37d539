import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CONFIG = 'test/scale/service/mikro-orm.config.ts';
/** What may come between the mark and the end: the garbage collector's, not the rows'. */
const MOST_GROWTH_MB = 60;
/** The mark is at a tenth of the rows, but not before the heap of Node has had this long to find its size. */
const WARM_AFTER_MS = 20_000;
const LOOK_EVERY_MS = 50;

interface Moment {
  readonly done: number;
  readonly atMs: number;
  readonly rssMb: number;
}

/** A `cqrs` command as a user runs it, in a process of its own whose memory is watched. */
export class WatchedCommand implements AsyncDisposable {
  /** Resolves with what it printed. @throws Error when it fails. */
  readonly ended: Promise<{ out: string; err: string }>;
  readonly #child: ChildProcess;
  readonly #looking: NodeJS.Timeout;
  #out = '';
  #err = '';
  #begun: Moment | undefined;
  #mark: Moment | undefined;
  #last: Moment = { done: 0, atMs: 0, rssMb: 0 };
  #peakMb = 0;

  constructor(
    private readonly args: readonly string[],
    private readonly options: {
      readonly rows: number;
      readonly heapMb: number | undefined;
      readonly env: Readonly<Record<string, string>>;
      readonly stdin?: number;
      readonly stdout?: number;
      readonly onProgress?: (done: number) => void;
    },
  ) {
    const heap = options.heapMb === undefined ? [] : [`--max-old-space-size=${options.heapMb}`];
    this.#child = spawn(
      process.execPath,
      [...heap, '--import', 'tsx', 'src/cli/main.ts', ...args, '--config', CONFIG],
      {
        cwd: root,
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.env },
        stdio: [options.stdin ?? 'ignore', options.stdout ?? 'pipe', 'pipe'],
      },
    );
    this.#child.stdout?.on('data', (chunk) => (this.#out += String(chunk)));
    this.#child.stderr!.on('data', (chunk) => this.#heard(String(chunk)));
    this.#looking = setInterval(() => this.reached(this.#last.done), LOOK_EVERY_MS);
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('close', (code, signal) => {
        clearInterval(this.#looking);
        this.#last = { ...this.#last, done: options.rows, atMs: performance.now() };
        if (code === 0) resolve({ out: this.#out, err: this.#err });
        else reject(new Error(`cqrs ${args[0]} ended with ${code ?? signal}:\n${this.#err}`));
      });
    });
    this.ended.catch(() => {}); // heard by whoever waits for it
  }

  /** Notes its memory at this moment; for a command that shows no progress of its own, how far another is. */
  reached(done: number): void {
    const memory = memoryOf(this.#child.pid!);
    if (memory === undefined) return;
    this.#last = { done, atMs: performance.now(), rssMb: memory.rssMb };
    this.#peakMb = Math.max(this.#peakMb, memory.peakMb);
    if (done === 0) return;
    this.#begun ??= this.#last;
    if (done >= this.options.rows / 10 && this.#last.atMs - this.#begun.atMs >= WARM_AFTER_MS)
      this.#mark ??= this.#last;
  }

  /** Says how it went. @returns whether its memory stayed flat. */
  tell(say: (line: string) => void): boolean {
    const [begun, mark, last] = [this.#begun, this.#mark, this.#last];
    const name = `cqrs ${this.args[0]}`;
    if (!begun || !mark || mark.done > this.options.rows / 2) {
      say(`${name}: over too soon to see how its memory goes; take more --rows`);
      return false;
    }
    const rate = ({ done, atMs }: Moment): string =>
      atMs === begun.atMs ? '' : `${Math.round((1_000 * (done - begun.done)) / (atMs - begun.atMs))} rows/s, `;
    const grown = last.rssMb - mark.rssMb;
    say(
      `${name}: at ${percent(mark.done / this.options.rows)} ${rate(mark)}${mark.rssMb} MB; ` +
        `at the end ${rate(last)}${last.rssMb} MB; at most ${this.#peakMb} MB` +
        (grown > MOST_GROWTH_MB ? `; GROWN by ${grown} MB, more than ${MOST_GROWTH_MB}` : ''),
    );
    return grown <= MOST_GROWTH_MB;
  }

  stop(): void {
    this.#child.kill('SIGTERM');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended.catch(() => {});
  }

  #heard(text: string): void {
    this.#err += text;
    // As `--progress` writes them: '12,000 of 100,000 rows - …', '12,000 rows with …'
    const done = text.match(/^[\d,]+(?= (?:of [\d,]+ )?rows )/gm)?.at(-1);
    if (done === undefined) return;
    this.reached(Number(done.replaceAll(',', '')));
    this.options.onProgress?.(this.#last.done);
  }
}

/** @returns nothing for a process that is no more. */
function memoryOf(pid: number): { rssMb: number; peakMb: number } | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [rss, peak] = ['VmRSS', 'VmHWM'].map((name) => new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
    return rss && peak ? { rssMb: megabytes(rss), peakMb: megabytes(peak) } : undefined;
  } catch {
    return undefined;
  }
}

function megabytes(kilobytes: string): number {
  return Math.round((Number(kilobytes) * 1024) / 1e6);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
