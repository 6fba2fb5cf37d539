/** How far a long command is, on standard error: a line rewritten in place for a person, plain lines for a log. */
export interface Progress extends Disposable {
  /** @param phase what it is busy with; a change of it is shown at once. */
  show(done: number, total?: number, phase?: string): void;
  /** Says something else meanwhile, on a line of its own. */
  say(line: string): void;
}

export interface ProgressOptions {
  /** What is counted, e.g. `rows`. */
  readonly unit: string;
  /** Whether to write to what is no terminal, too: a line at the start and about one a second. */
  readonly always: boolean;
  readonly stream?: { readonly isTTY?: boolean; write(text: string): unknown };
  /** Milliseconds; default: the time since the process began. */
  readonly clock?: () => number;
}

const LINE_EVERY_MS = 1_000;
const REDRAW_EVERY_MS = 100;
const BAR_WIDTH = 24;
/** To the beginning of the line, and nothing on it. */
const CLEARED = '\r\u001b[K';

export function startProgress({
  unit,
  always,
  stream = process.stderr,
  clock = () => performance.now(),
}: ProgressOptions): Progress {
  const startedAt = clock();
  let last: { readonly at: number; readonly done: number; readonly phase: string | undefined } | undefined;
  const terminal = stream.isTTY === true;
  return {
    show(done, total, phase) {
      if (!terminal && !always) return;
      const now = clock();
      const finished = total !== undefined && done >= total;
      const changed = last?.phase !== phase;
      if (last && !finished && !changed && now - last.at < (terminal ? REDRAW_EVERY_MS : LINE_EVERY_MS)) return;
      if (last?.done === done && done > 0 && !changed) return;
      last = { at: now, done, phase };
      const text = `${phase === undefined ? '' : `${phase}: `}${progressText(done, total, unit, (now - startedAt) / 1000)}`;
      stream.write(terminal ? `${CLEARED}${total === undefined ? '' : `${bar(done, total)} `}${text}` : `${text}\n`);
    },
    say(line) {
      stream.write(`${terminal && last ? CLEARED : ''}${line}\n`);
    },
    [Symbol.dispose]() {
      if (terminal && last) stream.write(CLEARED);
    },
  };
}

/** `2,000 of 10,000 rows - 20% with rate 1,000.0/s, to go 0:00:08` */
export function progressText(done: number, total: number | undefined, unit: string, seconds: number): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const speed = `with rate ${grouped(Math.round(rate))}/s`;
  if (total === undefined) return `${grouped(done)} ${unit} ${speed}`;
  const share = total === 0 ? 100 : Math.floor((done / total) * 100);
  const left = rate > 0 ? duration((total - done) / rate) : '?';
  return `${grouped(done)} of ${grouped(total)} ${unit} - ${share}% ${speed}, to go ${left}`;
}

function bar(done: number, total: number): string {
  const filled = total === 0 ? BAR_WIDTH : Math.min(BAR_WIDTH, Math.floor((done / total) * BAR_WIDTH));
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`;
}

function duration(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function grouped(number: number): string {
  return number.toLocaleString('en-US');
}
