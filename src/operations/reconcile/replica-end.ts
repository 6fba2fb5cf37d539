import {
  type Answer,
  answerSchemas,
  type Asked,
  PROTOCOL_VERSION,
  readJson,
  refusalSchema,
} from '../../replication/compare/protocol.js';
import { ReplicaAnswerError, TransportError } from '../../kernel/errors.js';
import { stringifyJson, type WireValue } from '../../wire/values.js';
import type { Cqrs } from '../../cqrs.js';
import type { EndRow } from './row-verdict.js';

type Ask = keyof typeof answerSchemas;
type Body<A extends Ask> = Omit<Asked<A>, 'ask' | 'version' | 'cqrsId' | 'timeoutMs'>;

/** A replica's row as it was told. */
export interface ToldRow extends EndRow {
  readonly key: WireValue;
}

/** The replica, as far as it can be asked: puts questions, checks answers, counts what travels. */
export class ReplicaEnd {
  questions = 0;
  bytes = 0;

  constructor(
    private readonly cqrs: Cqrs,
    private readonly options: {
      readonly cqrsId: string;
      readonly queue: string;
      readonly timeoutMs: number;
      readonly signal: AbortSignal | undefined;
    },
  ) {}

  /** @throws ReplicaAnswerError when nobody answers in time, when it is refused, and when the answer makes no sense. */
  async ask<A extends Ask>(
    ask: A,
    body: Body<A>,
    { timeoutMs = this.options.timeoutMs }: { timeoutMs?: number } = {},
  ): Promise<Answer<A>> {
    const { cqrsId, queue, signal } = this.options;
    const question = stringifyJson({ ask, version: PROTOCOL_VERSION, cqrsId, timeoutMs, ...body });
    this.questions++;
    this.bytes += Buffer.byteLength(question);
    let bytes: Uint8Array;
    try {
      bytes = await this.cqrs.transport.ask(queue, question, { timeoutMs, signal });
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      const why = error.message.replace(error.cure, '').replace(/[. ]+$/, '');
      throw new ReplicaAnswerError(
        queue,
        `gives no answer (${why})`,
        'A worker of ours must run there (cqrs consume), on the same broker.',
        { cause: error },
      );
    }
    this.bytes += bytes.byteLength;
    return this.#read(ask, bytes);
  }

  /** The rows of an answer, by the name of their key. */
  rows(told: Answer<'rows'>['rows']): ToldRow[] {
    return told.map(([key, revision, incarnation, updated, checksum]) => ({
      key,
      version: { revision, incarnation, updated },
      checksum,
    }));
  }

  /** @throws ReplicaAnswerError */
  nonsense(what: string, cause?: unknown): ReplicaAnswerError {
    const cure = 'Use the same version of mikro-orm-cqrs on both ends.';
    return new ReplicaAnswerError(this.options.queue, `gave an answer that makes no sense: ${what}`, cure, { cause });
  }

  #read<A extends Ask>(ask: A, bytes: Uint8Array): Answer<A> {
    let value: WireValue;
    try {
      value = readJson(bytes);
    } catch (error) {
      throw this.nonsense('it is not JSON', error);
    }
    const refusal = refusalSchema.safeParse(value);
    if (refusal.success) {
      const { reason, cure } = refusal.data.refused;
      throw new ReplicaAnswerError(this.options.queue, printable(reason).replace(/\.$/, ''), printable(cure));
    }
    const parsed = answerSchemas[ask].safeParse(value);
    if (parsed.success) return parsed.data as Answer<A>;
    const [issue] = parsed.error.issues;
    throw this.nonsense(`${issue!.path.join('.') || 'its form'}: ${issue!.message}`);
  }
}

/** The name of a key, however its parts are written: `7` and `"7"` are one. */
export function keyName(key: WireValue): string {
  const parts = Array.isArray(key) ? key : [key];
  return JSON.stringify(parts.map((part) => (typeof part === 'string' ? part : stringifyJson(part))));
}

// It comes from elsewhere and goes to terminals and logs.
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, 500);
}
