/**
 * `copy … from stdin` as one statement with its data as the only parameter. No driver knows such a statement; the clients
 * that `round-trips.ts` watches send the data when PostgreSQL asks for it.
 *
 * @returns the marked text. It answers with one row: `count`, how many rows were stored.
 */
export function copyIn(sql: string): string {
  return COPY_IN + sql;
}

/** What `client.query` was given, when that is a marked statement. */
export function asCopyIn(args: readonly unknown[]): CopyIn | undefined {
  if (!isCopyIn(args)) return undefined;
  const [text, [data]] = args;
  return new CopyIn(text, data);
}

export function isCopyIn(args: readonly unknown[]): args is [text: string, parameters: [data: string]] {
  return typeof args[0] === 'string' && args[0].startsWith(COPY_IN);
}

const COPY_IN = '/* cqrs: copy in */ ';

/** A query as `pg` takes it: it writes to the connection itself, and hears what comes back. */
export class CopyIn {
  readonly answer: Promise<unknown>;
  /** Called at the end. `pg` puts its own in front of it when it has a limit of time. */
  callback!: (error: Error | null, result?: unknown) => void;
  #tag = '';

  constructor(
    private readonly sql: string,
    private readonly data: string,
  ) {
    this.answer = new Promise((resolve, reject) => {
      this.callback = (error, result) => (error ? reject(error) : resolve(result));
    });
  }

  /** @returns an error when the connection cannot do it. */
  submit(connection: CopyConnection): Error | undefined {
    if (typeof connection.sendCopyFromChunk !== 'function') return new Error('This connection cannot COPY.');
    connection.query(this.sql);
    return undefined;
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(Buffer.from(this.data));
    connection.endCopyFrom();
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#tag = text;
  }

  handleError(error: Error): void {
    this.callback(error);
  }

  handleReadyForQuery(): void {
    const count = this.#tag.replace('COPY ', '');
    this.callback(null, { command: 'COPY', rowCount: Number(count), rows: [{ count }], fields: [] });
  }
}

interface CopyConnection {
  query(sql: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}
