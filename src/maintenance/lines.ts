import { InputError } from '../core/errors.js';

/** One line of an operator's stream, without its end. */
export interface Line {
  /** Counted from 1. */
  readonly number: number;
  /** @throws InputError when it is not UTF-8. */
  text(): string;
}

const NEWLINE = 10;

/** Splits bytes into lines; holds one line at a time. An end without a newline ends the last line, as dumps do. */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let number = 0;
  let begun: Uint8Array[] = [];
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      yield toLine([...begun, chunk.subarray(start, end)], ++number);
      begun = [];
      start = end + 1;
    }
    if (start < chunk.length) begun.push(chunk.subarray(start));
  }
  if (begun.length > 0) yield toLine(begun, ++number);
}

function toLine(pieces: readonly Uint8Array[], number: number): Line {
  return {
    number,
    text: () => {
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
          .decode(Buffer.concat(pieces))
          .replace(/\r$/, '');
      } catch (error) {
        throw new InputError(`line ${number} is not UTF-8.`, '', { cause: error });
      }
    },
  };
}

/**
 * The first line of a stream, and the rest.
 * @throws InputError when there is none: django-cqrs writes nothing at all where it has found nothing.
 */
export async function splitHeader(
  source: AsyncIterable<Uint8Array>,
): Promise<{ header: string; rest: AsyncGenerator<Line> }> {
  const rest = readLines(source);
  const first = await rest.next();
  const header = first.done ? '' : first.value.text().trim();
  if (header !== '') return { header, rest };
  throw new InputError('the input is empty.', 'Did the command before it fail, or find nothing?');
}
