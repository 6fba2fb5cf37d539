import { type EntityManager, IsolationLevel } from '@mikro-orm/core';
import { checksum, fieldChecksums } from '../compare/checksum.js';
import { findRows } from '../compare/find-rows.js';
import { type KeyedTable, readKey, writeKey } from '../compare/keyed-table.js';
import { type Answer, type Asked, MOST_ROWS, type Question, questionSchema, readJson } from '../compare/protocol.js';
import { CANONICAL_SETTINGS, type DigestPlan, digestStatement, rowsStatement } from '../compare/row-digest.js';
import { SlotDigests } from '../compare/slot-digests.js';
import { describeError } from '../../kernel/describe-error.js';
import { CqrsError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { quoted } from '../../postgres/identifiers.js';
import { TransportPayload } from '../../wire/payload.js';
import type { Registry } from '../declare/registry.js';
import { parseMicroseconds } from '../../wire/times.js';
import { parseJson, stringifyJson, type WireValue } from '../../wire/values.js';
import type { Applier } from './applier.js';
import { type ContentColumn, contentColumns } from './definition/content-columns.js';
import { discriminatorOf, INCARNATION, REVISION, UPDATED } from './definition/replica-columns.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';
import { rowKey } from './definition/row-keys.js';
import { SqlSession } from './rows/sql-session.js';
import { numberedSql, toldIncarnation } from './rules/stored-version.js';
import { readBurials } from './rows/tombstones.js';

/** What a replica says of one row. */
type Row = Answer<'rows'>['rows'][number];

/** A question that is not answered, with the reason, which goes to the asker. */
class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly cure: string,
  ) {
    super(reason);
  }
}

/**
 * Answers a master's questions about the rows of the replicas: @see the conversation in `replication/compare/protocol.ts`. It reads, and
 * changes nothing; each question has a read-only transaction of its own, which ends when the asker has gone. What is tried
 * out is taken back.
 */
export class ReplicaAnswers {
  constructor(
    private readonly parts: {
      /** Any EntityManager of the service; it is forked. */
      readonly em: EntityManager;
      readonly replicas: Registry<ReplicaDefinition>;
      readonly events: Events;
      /** The quoted table. */
      readonly tombstones: () => string;
      readonly applier: Pick<Applier, 'whyNot'>;
    },
  ) {}

  /** Never rejects: what cannot be answered is refused with its reason. Only these ids are spoken about. */
  async answer(bytes: Uint8Array, cqrsIds: readonly string[]): Promise<string> {
    const startedAt = performance.now();
    const told = { question: 'unreadable', cqrsId: '' };
    try {
      const question = parse(bytes);
      Object.assign(told, { question: question.ask, cqrsId: question.cqrsId });
      const answer = await this.#answer(question, cqrsIds);
      this.#tell(told, startedAt);
      return stringifyJson(answer);
    } catch (error) {
      const { reason, cure } = error instanceof Refusal ? error : explain(error);
      this.#tell(told, startedAt, reason);
      return stringifyJson({ refused: { reason, cure } });
    }
  }

  /** Each in a transaction of its own, which is taken back: it waits for locks of others no longer than the asker does. */
  async #try({ bodies, cqrsId, timeoutMs }: Asked<'try'>): Promise<Answer<'try'>> {
    const deadline = performance.now() + timeoutMs / 2;
    const reasons: (string | null)[] = [];
    for (const body of bodies) {
      const left = Math.floor(deadline - performance.now());
      reasons.push(left > 0 ? await this.#tryOne(cqrsId, body, left) : null);
    }
    return { reasons };
  }

  async #tryOne(cqrsId: string, body: string, timeoutMs: number): Promise<string | null> {
    try {
      const payload = TransportPayload.fromMessage(body);
      if (payload.cqrsId !== cqrsId) throw new Refusal('was asked to try out a message of another id', '');
      const received = { payload, committedAt: null, direct: true, expired: false };
      return await this.parts.em.fork().transactional(async (em): Promise<never> => {
        await new SqlSession(em).run({
          text: `select set_config('statement_timeout', $1, true)`,
          parameters: [String(timeoutMs)],
        });
        throw new TakenBack(await this.parts.applier.whyNot(received, em));
      });
    } catch (error) {
      if (error instanceof TakenBack) return error.reason;
      if (error instanceof Refusal) throw error;
      return null;
    }
  }

  #tell(told: { question: string; cqrsId: string }, startedAt: number, refused?: string): void {
    const durationMs = Math.round(performance.now() - startedAt);
    this.parts.events.emit('cqrs.replica.asked', { ...told, durationMs, refused: refused ?? null });
  }

  #answer(question: Question, cqrsIds: readonly string[]): Promise<object> {
    const { cqrsId } = question;
    const definition = cqrsIds.includes(cqrsId) ? this.parts.replicas.find(cqrsId) : undefined;
    if (!definition) {
      throw new Refusal(`has no replica of '${cqrsId}'`, `It has ${cqrsIds.join(', ') || 'none'}.`);
    }
    if (!definition.table) {
      throw new Refusal(`keeps no rows of '${cqrsId}'`, 'It is declared with CQRS_NO_DB_OPERATIONS.');
    }
    if (question.ask === 'conclude') {
      const { ask: _, version: _version, timeoutMs: _timeoutMs, ...outcome } = question;
      this.parts.events.emit('cqrs.replica.compared', outcome);
      return Promise.resolve({ heard: true } satisfies Answer<'conclude'>);
    }
    if (question.ask === 'try') return this.#try(question);
    return this.parts.em.fork().transactional(
      async (em) => {
        const session = new SqlSession(em);
        await session.run(CANONICAL_SETTINGS);
        await session.run({
          text: `select set_config('statement_timeout', $1, true)`,
          parameters: [String(question.timeoutMs)],
        });
        const conversation = new Conversation(session, definition);
        switch (question.ask) {
          case 'describe':
            return conversation.describe();
          case 'incarnations':
            return conversation.incarnations(this.parts.tombstones());
          case 'digests':
            return conversation.digests(question);
          case 'rows':
            return conversation.rows(question);
          case 'keys':
            return conversation.keys(question);
          case 'deletions':
            return conversation.deletions(question, this.parts.tombstones());
        }
      },
      { isolationLevel: IsolationLevel.REPEATABLE_READ, readOnly: true },
    );
  }
}

/** Ends a transaction in which something was tried out. */
class TakenBack extends Error {
  constructor(readonly reason: string | null) {
    super('tried out');
  }
}

/** One question about one replica, in its transaction. */
class Conversation {
  readonly #table: KeyedTable;

  constructor(
    private readonly session: SqlSession,
    private readonly definition: ReplicaDefinition,
  ) {
    const { cqrsId, meta, keyColumns } = definition;
    this.#table = { cqrsId, meta, name: definition.table!.name, keyColumns };
  }

  async describe(): Promise<Answer<'describe'>> {
    const { columns, keyColumns, path, meta } = this.definition;
    const kind = discriminatorOf(meta);
    const where = kind ? ` where t.${quoted(kind.field)} = $1` : '';
    const [row] = await this.session.run({
      text: `select count(*)::text as rows, count(*) filter (where (${numberedSql(`t.${INCARNATION}`)}) is not true)::text as without
        from ${this.#table.name} t${where}`,
      parameters: kind ? [kind.value] : [],
    });
    return {
      rows: Number(row!['rows']),
      fields: columns.map((column) => ({ names: [...column.wire], kind: column.kind })),
      keyKinds: keyColumns.map((column) => column.kind),
      incarnations: row!['without'] === '0',
      custom: path === 'hooks' && this.definition.statics.CQRS_CUSTOM_SERIALIZATION === true,
    };
  }

  async incarnations(tombstones: string): Promise<Answer<'incarnations'>> {
    const [row] = await this.session.run({
      text: `select greatest((select max(t.${INCARNATION}) from ${this.#table.name} t),
          (select max(incarnation) from ${tombstones} where cqrs_id = $1), -1)::text as greatest`,
      parameters: [this.definition.cqrsId],
    });
    return { greatest: toldIncarnation(Number(row!['greatest'])) };
  }

  async digests(question: Asked<'digests'>): Promise<Answer<'digests'>> {
    const { bits, groupBits, groups } = question;
    if (groupBits > bits || groups.some((group) => group >= 2 ** groupBits))
      throw new Refusal('was asked for groups that do not fit together', 'Use the same version on both ends.');
    const own = new SlotDigests(bits);
    for (const { slot, count, sum } of await this.session.run(digestStatement(this.#plan(question), question))) {
      own.add(Number(slot), Number(count), BigInt(sum!));
    }
    return { rows: own.rows, groups: groups.map((group) => own.pack(group, groupBits)) };
  }

  async rows(question: Asked<'rows'>): Promise<Answer<'rows'>> {
    const content = this.#content(question.checksums);
    const width = this.#table.keyColumns.length;
    const keys = this.#table.keyColumns.map(({ field }) => `t.${quoted(field)}`);
    const expressions = [...keys, ...this.#expressions(content)];
    const rows = await this.session.run(
      rowsStatement(this.#plan(question), question.slots, expressions, MOST_ROWS + 1),
    );
    if (rows.length > MOST_ROWS) throw new Refusal(`was asked for more than ${MOST_ROWS} rows`, 'Ask for fewer slots.');
    return {
      rows: rows.map((row) => {
        const values = expressions.map((_, index) => row[`v${index}`] ?? null);
        return this.#row(values.slice(0, width) as string[], values.slice(width), content, {
          ...question,
          each: false,
        });
      }),
    };
  }

  async keys(question: Asked<'keys'>): Promise<Answer<'keys'>> {
    const content = this.#content(question.checksums);
    const keys = question.keys.map((key) => readKey(this.#table, key));
    const stored = await findRows(this.session, this.#table, keys, this.#expressions(content));
    return {
      rows: stored
        .map((values, index) => values && this.#row(keys[index]!, values, content, question))
        .map((row) => row ?? null),
    };
  }

  async deletions(question: Asked<'deletions'>, tombstones: string): Promise<Answer<'deletions'>> {
    const names = question.keys.map((key) => rowKey(readKey(this.#table, key)).text);
    const burials = await this.session.run(readBurials(tombstones, this.#table.cqrsId, names));
    const found = new Map(burials.map((burial) => [burial['key'], burial]));
    return {
      versions: names.map((name) => {
        const burial = found.get(name);
        if (!burial) return null;
        const { revision, incarnation, updated } = burial;
        return [
          Number(revision),
          incarnation === null || incarnation === undefined ? null : toldIncarnation(Number(incarnation)),
          parseMicroseconds(updated) ?? 0,
        ];
      }),
    };
  }

  #expressions(content: readonly ContentColumn[]): string[] {
    return [...[REVISION, INCARNATION, UPDATED].map((field) => `t.${field}`), ...content.map((one) => one.expression)];
  }

  #row(
    key: readonly string[],
    [revision, incarnation, updated, ...values]: readonly (string | null)[],
    content: readonly ContentColumn[],
    { checksums, each }: Pick<Asked<'keys'>, 'checksums' | 'each'>,
  ): Row {
    const data = Object.fromEntries(content.map(({ field, read }, index) => [field, read(values[index] ?? null)]));
    return [
      parseJson(writeKey(this.#table, key)),
      Number(revision),
      incarnation === null || incarnation === undefined ? null : toldIncarnation(Number(incarnation)),
      parseMicroseconds(updated) ?? 0,
      checksums && (each ? fieldChecksums : checksum)(data, checksums),
    ];
  }

  #content(fields: readonly string[] | null): ContentColumn[] {
    return contentColumns(this.definition, fields ?? []).map((column, index) => {
      if (column) return column;
      const known = this.definition.columns.map(({ wire }) => wire[0]).join(', ');
      throw new Refusal(`does not have the field '${fields![index]}'`, `It has ${known}.`);
    });
  }

  #plan({ fields, keyKinds, bits, incarnations }: Asked<'digests'> | Asked<'rows'>): DigestPlan {
    const { keyColumns } = this.#table;
    if (keyKinds.length !== keyColumns.length)
      throw new Refusal(
        `has a key of ${keyColumns.length} columns, and not ${keyKinds.length}`,
        'Correct its mapping.',
      );
    const content = this.#content(fields.map(({ name }) => name));
    return {
      table: this.#table.name,
      keys: keyColumns.map(({ field, kind }, index) => ({
        expression: `t.${quoted(field)}`,
        kind,
        other: keyKinds[index]!,
      })),
      fields: content.map(({ expression, kind }, index) => ({ expression, kind, other: fields[index]!.kind })),
      bits,
      incarnations,
      discriminator: discriminatorOf(this.definition.meta),
    };
  }
}

/** @throws Refusal for what is no question of ours. */
function parse(bytes: Uint8Array): Question {
  let value: WireValue;
  try {
    value = readJson(bytes);
  } catch {
    throw new Refusal('could not read the question', 'Who asks?');
  }
  const parsed = questionSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Refusal(
    `does not understand the question (${issue!.path.join('.') || 'its form'}: ${issue!.message})`,
    'Use the same version of mikro-orm-cqrs on both ends.',
  );
}

function explain(error: unknown): { reason: string; cure: string } {
  if (error instanceof CqrsError) return { reason: `could not answer: ${error.message}`, cure: '' };
  return { reason: `could not answer (${describeError(error)})`, cure: 'Look into its log and its database.' };
}
