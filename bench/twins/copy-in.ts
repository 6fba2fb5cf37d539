import type pg from 'pg';
import type { Body } from './consumer.ts';

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** A dump straight into the table by COPY: nothing is checked, nothing is compared. */
export async function copyIn(client: pg.Client, source: AsyncIterable<Buffer>): Promise<void> {
  const copy = new CopyIn();
  const done = client.query(copy as never) as unknown as CopyIn;
  const connection = await done.ready;
  let rest = '';
  let header = true;
  for await (const chunk of source) {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!;
    if (header) lines.shift();
    header = false;
    if (lines.length > 0) connection.sendCopyFromChunk(Buffer.from(lines.map(toText).join('')));
  }
  connection.sendCopyFromChunk(Buffer.from(toText(rest)));
  connection.endCopyFrom();
  await done.finished;
}

function toText(line: string): string {
  const row = JSON.parse(line) as Body['instance_data'];
  const { id, name, quantity, price, created_at, active, cqrs_revision, cqrs_updated } = row;
  return `${id}\t${name}\t${quantity}\t${price}\t${created_at}\t${active}\t${cqrs_revision}\t${cqrs_updated}\n`;
}

/** The part of the COPY protocol that is needed, as a query of `pg`. */
class CopyIn {
  readonly ready: Promise<CopyConnection>;
  readonly finished: Promise<void>;
  callback: (error?: Error) => void = () => {};
  #onReady!: (connection: CopyConnection) => void;
  #onFinished!: () => void;
  #onError!: (error: Error) => void;

  constructor() {
    this.ready = new Promise((resolve) => (this.#onReady = resolve));
    this.finished = new Promise((resolve, reject) => {
      this.#onFinished = resolve;
      this.#onError = reject;
    });
  }

  submit(connection: CopyConnection): void {
    connection.query('copy product_copies from stdin');
  }
  handleCopyInResponse(connection: CopyConnection): void {
    this.#onReady(connection);
  }
  handleCommandComplete(): void {}
  handleReadyForQuery(): void {
    this.#onFinished();
  }
  handleError(error: Error): void {
    this.#onError(error);
  }
}
