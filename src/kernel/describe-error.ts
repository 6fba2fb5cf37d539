import { isNativeError } from 'node:util/types';
import { CqrsError } from './errors.js';
import { schemaText } from './schema-text.js';

/** Facts of a database error that name parts of the schema, never a row. */
const SCHEMA_FACTS = ['schema', 'table', 'column', 'constraint'] as const;
const MAX_LENGTH = 300;
const SQL_STATE = /^[0-9A-Z]{5}$/;
/** Errors that the engine and Node throw about a value, and quote it: `BigInt(name)`, `JSON.parse(note)`, `[].map(name)`. */
const OF_THE_ENGINE = /^(?:Syntax|Type|Range|URI)Error$/;
const QUOTES_NOTHING = /^Cannot (?:read|set) properties of (?:undefined|null)/;

/**
 * An error in one line that may be logged, stored and sent: its name, its code and what it says, unless what it says
 * may quote a row. Errors of a database driver and of MikroORM's validation do; they are told by their code, by the table,
 * column or constraint they name, and by their text where it is one that speaks of the schema alone (`schemaText`). So do
 * the errors of the JavaScript engine; they are told by the place in the code.
 */
export function describeError(error: unknown): string {
  if (!isNativeError(error)) return `thrown ${typeof error}`;
  if (error instanceof CqrsError) return oneLine(`${error.name}: ${error.message}`);
  const state = sqlState(error);
  if (state !== undefined) {
    const facts = SCHEMA_FACTS.flatMap((fact) => {
      const value: unknown = Reflect.get(error, fact);
      return typeof value === 'string' ? [`${fact} ${value}`] : [];
    });
    const text = schemaText(state, originOf(error, state));
    return oneLine(
      `${error.name} [${[`SQLSTATE ${state}`, ...facts].join(', ')}]${text === undefined ? '' : `: ${text}`}`,
    );
  }
  if (/^(ValidationError|.*Exception)$/.test(error.name)) return oneLine(error.name);
  const code: unknown = Reflect.get(error, 'code');
  const name = `${error.name}${typeof code === 'string' ? ` [${code}]` : ''}`;
  if (OF_THE_ENGINE.test(error.name)) {
    const says = QUOTES_NOTHING.exec(error.message)?.[0];
    return oneLine(`${name}${says === undefined ? '' : `: ${says}`}${place(error)}`);
  }
  return oneLine(`${name}: ${error.message || firstCause(error)}`);
}

/** The five-character code that a PostgreSQL error carries, wrapped or not; undefined when it is another kind of error. */
export function sqlState(error: unknown): string | undefined {
  for (const current of causes(error)) {
    const code: unknown = Reflect.get(current, 'code');
    // Node's own codes (`EPIPE`, `EPERM`) have five letters too; a database says how severe its error is.
    if (typeof code === 'string' && SQL_STATE.test(code) && (/\d/.test(code) || Reflect.has(current, 'severity')))
      return code;
  }
  return undefined;
}

/** The error of the driver itself: MikroORM puts the statement and its parameters before the text. */
function originOf(error: Error, state: string): Error {
  return [...causes(error)].findLast((cause) => Reflect.get(cause, 'code') === state)!;
}

/** What was thrown, as an error. */
export function toError(thrown: unknown): Error {
  return isNativeError(thrown) ? thrown : new Error(describeError(thrown));
}

/** An error and what caused it, outermost first; ends however the chain is tied. */
export function* causes(error: unknown): Generator<Error> {
  const seen = new Set<unknown>();
  for (let current = error; isNativeError(current) && !seen.has(current); current = current.cause) {
    seen.add(current);
    yield current;
  }
}

// Where it was thrown, in the user's code when it passed there. The message, which the stack repeats, may look like a frame.
function place(error: Error): string {
  const stack = error.stack ?? '';
  const frames = stack.slice(stack.indexOf(error.message) + error.message.length).split('\n');
  const places = frames.flatMap((frame) => /^ {4}at .*?((?:file:\/\/)?\/[^()]+:\d+:\d+)\)?$/.exec(frame)?.[1] ?? []);
  const chosen = places.find((path) => !path.includes('/node_modules/')) ?? places[0];
  return chosen === undefined ? '' : ` at ${chosen.replace('file://', '')}`;
}

// Node reports "all addresses refused" as an AggregateError without a message.
function firstCause(error: Error): string {
  return error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0].message : '';
}

function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters would let a message forge log lines
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH - 1)}…` : line;
}
