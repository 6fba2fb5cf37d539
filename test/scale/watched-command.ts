import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { InUse } from './heap-probe.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CONFIG = 'test/scale/service/mikro-orm.config.ts';
/** Pages are in hand at one look and not at the next: this much is nobody's fault. */
const MOST_GROWTH_MB = 3;
const LOOKS = 20;
/** Of these in each third: fewer may all have seen pages in hand. */
const FEWEST_LOOKS = 3;

interface Moment {
  readonly done: number;
  readonly atMs: number;
}

interface Look extends Moment, InUse {}

/**
 * A `cqrs` command as a user runs it, in a process of its own whose memory is watched: twenty times on its way it collects
 * its garbage and tells what is left. What grows with the rows is in all that is seen later, so that the least of the
 * last third of the rows beside the least of the first shows it; what the collector has not got round to does not count.
 */
export class WatchedCommand implements AsyncDisposable {
  /** Resolves with what it printed. @throws Error when it fails. */
  readonly ended: Promise<{ out: string; err: string }>;
  readonly #child: ChildProcess;
  readonly #looks: Look[] = [];
  #out = '';
  #err = '';
  #begun: Moment | undefined;
  #last: Moment = { done: 0, atMs: 0 };
  /** Of the whole process, garbage included. */
  #peakMb = 0;

  constructor(
    private readonly args: readonly string[],
    private readonly options: {
      readonly rows: number;
      readonly env: Readonly<Record<string, string>>;
      readonly stdin?: number;
      readonly stdout?: number;
      readonly onProgress?: (done: number) => void;
    },
  ) {
    const watched = ['--expose-gc', '--import', 'tsx', '--import', './test/scale/heap-probe.ts', 'src/cli/main.ts'];
    this.#child = spawn(process.execPath, [...watched, ...args, '--config', CONFIG], {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.env },
      stdio: [options.stdin ?? 'ignore', options.stdout ?? 'pipe', 'pipe', 'ipc'],
    });
    this.#child.stdout?.on('data', (chunk) => (this.#out += String(chunk)));
    this.#child.stderr!.on('data', (chunk) => this.#heard(String(chunk)));
    this.#child.on('message', (inUse: InUse) => this.#looks.push({ ...this.#last, ...inUse }));
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('close', (code, signal) => {
        this.#last = { done: options.rows, atMs: performance.now() };
        if (code === 0) resolve({ out: this.#out, err: this.#err });
        else reject(new Error(`cqrs ${args[0]} ended with ${code ?? signal}:\n${this.#err}`));
      });
    });
    this.ended.catch(() => {}); // heard by whoever waits for it
  }

  /** Says how far it is, and at times looks at its memory; for a command that shows no progress of its own, how far another is. */
  reached(done: number): void {
    const step = (rows: number): number => Math.floor((rows / this.options.rows) * LOOKS);
    const isTime = step(done) > step(this.#last.done);
    this.#last = { done, atMs: performance.now() };
    if (done > 0) this.#begun ??= this.#last;
    this.#peakMb = Math.max(this.#peakMb, peakMbOf(this.#child.pid!) ?? 0);
    if (isTime && this.#child.connected) this.#child.send('look', () => {});
  }

  /** Says how it went. @returns whether its memory stayed flat. */
  tell(say: (line: string) => void): boolean {
    const [begun, last] = [this.#begun, this.#last];
    const name = `cqrs ${this.args[0]}`;
    const { rows } = this.options;
    const early = this.#looks.filter(({ done }) => done <= rows / 3);
    const late = this.#looks.filter(({ done }) => done > (2 * rows) / 3);
    if (!begun || Math.min(early.length, late.length) < FEWEST_LOOKS) {
      say(`${name}: over too soon to see how its memory goes; take more --rows`);
      return false;
    }
    const least = (looks: readonly Look[]): number => Math.min(...looks.map(({ inUseMb }) => inUseMb));
    const rate = Math.round((1_000 * (last.done - begun.done)) / (last.atMs - begun.atMs));
    const grown = least(late) - least(early);
    say(
      `${name}: ${rate} rows/s; in use ${least(early).toFixed(1)} MB in the first third, ${least(late).toFixed(1)} MB in the ` +
        `last; at most ${this.#peakMb} MB with what was not collected` +
        (grown > MOST_GROWTH_MB ? `; GROWN by ${grown.toFixed(1)} MB, more than ${MOST_GROWTH_MB}` : ''),
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
function peakMbOf(pid: number): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Math.round((Number(kilobytes) * 1024) / 1e6);
  } catch {
    return undefined;
  }
}
