import { InputError } from '../kernel/errors.js';

/** One line of an operator's stream, without its end. */
export class Line {
  constructor(
    /** Counted from 1. */
    readonly number: number,
    private readonly content: string | Uint8Array,
  ) {}

  /** @throws InputError when it is not UTF-8. */
  text(): string {
    const text = typeof this.content === 'string' ? this.content : decode(this.content);
    if (text === undefined) throw new InputError(`line ${this.number} is not UTF-8.`);
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  }
}

const NEWLINE = 10;

/**
 * Splits bytes into lines, those of one piece of the source at a time: a turn of the event loop for each would take longer
 * than the line. Holds one piece and one line. An end without a newline ends the last line, as dumps do.
 */
export async function* readLineGroups(source: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Line[]> {
  let number = 0;
  let begun: Uint8Array[] = [];
  for await (const chunk of source) {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end >= 0) {
      const lines = split(Buffer.concat([...begun, chunk.subarray(0, end)])).map((line) => new Line(++number, line));
      begun = [];
      yield lines;
    }
    if (end + 1 < chunk.length) begun.push(chunk.subarray(end + 1));
  }
  if (begun.length > 0) yield [new Line(++number, Buffer.concat(begun))];
}

/** The same, line by line. */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  for await (const lines of readLineGroups(source)) yield* lines;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** All in one text, unless one of them is not UTF-8. */
function split(bytes: Uint8Array): (string | Uint8Array)[] {
  const text = decode(bytes);
  if (text !== undefined) return text.split('\n');
  const lines: Uint8Array[] = [];
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  lines.push(bytes.subarray(start));
  return lines;
}

/**
 * The first line of a stream, and the rest, either line by line or in groups.
 * @throws InputError when there is none: django-cqrs writes nothing at all where it has found nothing.
 */
export async function splitHeader(
  source: AsyncIterable<Uint8Array>,
): Promise<{ header: string; rest: AsyncGenerator<Line>; groups: AsyncGenerator<readonly Line[]> }> {
  const all = readLineGroups(source);
  const first = await all.next();
  const [line, ...others] = first.done ? [] : first.value;
  const header = line?.text().trim() ?? '';
  if (header === '') throw new InputError('the input is empty.', 'Did the command before it fail, or find nothing?');
  const groups = async function* (): AsyncGenerator<readonly Line[]> {
    yield others;
    yield* all;
  };
  const rest = async function* (): AsyncGenerator<Line> {
    for await (const lines of groups()) yield* lines;
  };
  return { header, rest: rest(), groups: groups() };
}
