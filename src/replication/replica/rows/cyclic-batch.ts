import type { EntityManager } from '@mikro-orm/core';
import { MappingError } from '../../../kernel/errors.js';
import { TransportPayload } from '../../../wire/payload.js';
import { formatMicroseconds } from '../../../wire/times.js';
import type { WireObject } from '../../../wire/values.js';
import type { Outcome } from '../../../messaging/inbox/handler.js';
import { allDone, type Batch, type Conclude } from '../batch.js';
import { type CyclicReference, isViolated, type KnownCycles } from '../table/cyclic-references.js';
import { checkAtOnce, clearColumns, missingTargets } from './cyclic-statements.js';
import { mapKey, MappedRow, mapRow } from '../definition/field-mapping.js';
import { Prepared } from '../prepare.js';
import { decide } from '../rules/revision-rules.js';
import { refusal } from './row-path.js';
import { SqlSession } from './sql-session.js';
import { readStates } from './stored-states.js';
import { UNKNOWN_TIME } from '../rules/stored-version.js';

/**
 * Applies messages of rows that refer to each other, of which none can be written first.
 *
 *   which of their references lead nowhere? ─▶ write all rows, those without these references and a microsecond older
 *        └─▶ which still lead nowhere? ─▶ none of a row's: write it once more, as it came
 *                                     └─▶ some: its message waits, as for any foreign key
 *
 * What is stored is older than the message by the least that a version can be: so the message is still to be applied when
 * it comes again, and everything that is older than it is not.
 *
 * Deletions in one batch take each other's references away before they try again; see `Batch`.
 */
export async function applyCyclic(
  em: EntityManager,
  work: Batch,
  open: readonly Prepared[],
  { cycles, tombstones }: { readonly cycles: KnownCycles; readonly tombstones: string },
): Promise<Conclude> {
  const session = new SqlSession(em);
  await session.run(checkAtOnce(cycles));
  const referring = open.flatMap((message) => readReferences(message, cycles));
  const missing = await findMissing(session, referring);
  const partial = new Map<Prepared, Prepared>();
  for (const { message, row, references } of referring) {
    const absent = references.filter((reference) => missing.get(message)?.has(reference));
    if (absent.length > 0) partial.set(message, without(message, row, absent));
  }
  await work.apply(
    em,
    open.map((message) => partial.get(message) ?? message),
    'no',
    cycles,
  );
  work.notes.forget([...partial.values()]);
  await deleteAgain(em, work, open, cycles);
  const wanting = await stillWanting(session, work, [...partial.keys()], tombstones);
  const stillMissing = await findMissing(
    session,
    referring.filter(({ message }) => wanting.includes(message)),
  );
  await applyWhole(
    em,
    work,
    wanting.filter((message) => !stillMissing.has(message)),
    cycles,
  );
  for (const [message, references] of stillMissing) {
    const error = new ReferenceAwaitedError(namesOf([...references]));
    work.settle(message, { kind: 'failed', reason: 'foreign-key', error });
  }
  return allDone;
}

/** The row is stored, but for its reference to a row that has not come. */
export class ReferenceAwaitedError extends Error {
  override readonly name = 'ReferenceAwaitedError';

  constructor(properties: readonly string[]) {
    super(`The row that ${properties.join(' and ')} refers to has not come; its own is stored without the reference.`);
  }
}

interface Referring {
  readonly message: Prepared;
  readonly row: MappedRow;
  /** Those that are not null. */
  readonly references: readonly CyclicReference[];
}

function readReferences(message: Prepared, cycles: KnownCycles): Referring[] {
  const { definition, incoming } = message;
  const known = cycles.of(definition);
  // What has no time has no earlier one.
  if (known.length === 0 || incoming.signalType === 'DELETE' || incoming.version.updated === UNKNOWN_TIME) return [];
  const row = message.row ?? rowOf(message);
  const references = known.filter(({ columns }) => row && columns.every((column) => valueIn(row, column) != null));
  return row && references.length > 0 ? [{ message, row, references }] : [];
}

/** What a class that handles the data itself is given as a row, where it is one. */
function rowOf({ definition, received }: Prepared): MappedRow | undefined {
  if (definition.statics.CQRS_CUSTOM_SERIALIZATION) return undefined;
  try {
    const { payload } = received;
    return mapRow(definition, payload.instanceData, mapKey(definition, payload), payload);
  } catch (error) {
    if (error instanceof MappingError) return undefined;
    throw error;
  }
}

function valueIn({ columns, values }: MappedRow, column: MappedRow['columns'][number]): string | null | undefined {
  const at = columns.indexOf(column);
  return at < 0 ? undefined : values[at];
}

/** The references that lead nowhere, by message. */
async function findMissing(
  session: SqlSession,
  referring: readonly Referring[],
): Promise<Map<Prepared, Set<CyclicReference>>> {
  const byReference = new Map<CyclicReference, Referring[]>();
  for (const one of referring) {
    for (const reference of one.references) {
      const group = byReference.get(reference);
      if (group) group.push(one);
      else byReference.set(reference, [one]);
    }
  }
  const missing = new Map<Prepared, Set<CyclicReference>>();
  for (const [reference, group] of byReference) {
    const keys = group.map(({ row }) => reference.columns.map((column) => valueIn(row, column)!));
    for (const { n } of await session.run(missingTargets(reference, keys))) {
      const { message } = group[Number(n) - 1]!;
      const found = missing.get(message);
      if (found) found.add(reference);
      else missing.set(message, new Set([reference]));
    }
  }
  return missing;
}

/** The same message without some references, a microsecond older. */
function without(message: Prepared, row: MappedRow, references: readonly CyclicReference[]): Prepared {
  const { definition, received, incoming } = message;
  const { payload } = received;
  const columns = new Set(references.flatMap(({ leftOut }) => leftOut));
  const names = new Set([...columns].flatMap(({ wire }) => wire));
  const version = { ...incoming.version, updated: incoming.version.updated - 1 };
  const instanceData: WireObject = { ...payload.instanceData, cqrs_updated: formatMicroseconds(version.updated) };
  for (const name of names) if (Object.hasOwn(instanceData, name)) instanceData[name] = null;
  const texts = Object.entries(payload.texts ?? {}).filter(([name]) => !names.has(name));
  const values = row.values.map((value, index) => (columns.has(row.columns[index]!) ? null : value));
  return new Prepared(
    message.index,
    {
      ...received,
      payload: new TransportPayload({
        signalType: payload.signalType,
        cqrsId: payload.cqrsId,
        instanceData,
        instancePk: payload.instancePk,
        queue: payload.queue,
        previousData: payload.previousData,
        correlationId: payload.correlationId,
        expires: payload.expires,
        retries: payload.retries,
        meta: payload.meta,
        incarnation: payload.incarnation,
        texts: payload.texts && Object.fromEntries(texts),
      }),
    },
    definition,
    { ...incoming, version },
    message.key,
    message.row && new MappedRow(row.columns, values, row.lossy),
    message.bySave,
    namesOf(references),
  );
}

function namesOf(references: readonly CyclicReference[]): string[] {
  return [...new Set(references.flatMap(({ columns }) => columns.map(({ property }) => property.name as string)))];
}

/** Settles the messages, of which at most a part was written, that are not needed any more. @returns the others */
async function stillWanting(
  session: SqlSession,
  work: Batch,
  messages: readonly Prepared[],
  tombstones: string,
): Promise<readonly Prepared[]> {
  const wanting = new Set<Prepared>();
  const open = messages.filter((message) => !hasEnded(message, work));
  for (const [definition, group] of Map.groupBy(open, (message) => message.definition)) {
    const keys = new Map(group.map(({ key }) => [key.text, key]));
    const states = await readStates(session, definition, [...keys.values()], tombstones);
    for (const message of group) {
      const stored = states.get(message.key.text)!;
      const decision = message.bySave ? undefined : decide(stored, message.incoming, work.rules);
      if (decision && 'reason' in decision) {
        work.notes.add(message, decision);
        work.settle(message, refusal(message, decision));
      } else wanting.add(message);
    }
  }
  return messages.filter((message) => wanting.has(message));
}

/** Whether its end says all. Where a class decides by itself it may find what it has stored once before. */
function hasEnded({ index, bySave }: Prepared, { outcomes }: Batch): boolean {
  const outcome = outcomes[index];
  if (outcome?.kind !== 'skipped') return outcome?.kind === 'failed';
  return bySave ? outcome.reason !== 'duplicate' : ['superseded', 'suppressed'].includes(outcome.reason);
}

async function applyWhole(
  em: EntityManager,
  work: Batch,
  messages: readonly Prepared[],
  cycles: KnownCycles,
): Promise<void> {
  if (messages.length === 0) return;
  const before = new Map<number, Outcome | undefined>(messages.map(({ index }) => [index, work.outcomes[index]]));
  await work.apply(em, messages, 'no', cycles);
  for (const message of messages) {
    const [first, then] = [before.get(message.index), work.outcomes[message.index]];
    // For whoever is told of it, it is one change.
    if (first?.kind === 'applied' && then?.kind === 'applied') work.settle(message, { ...then, action: first.action });
  }
}

/** Deletions through hooks that other rows of a cycle hold up: their own references may hold up these in turn. */
async function deleteAgain(
  em: EntityManager,
  work: Batch,
  open: readonly Prepared[],
  cycles: KnownCycles,
): Promise<void> {
  const failed = open.filter(({ index, definition, incoming }) => {
    const outcome = work.outcomes[index];
    const deletes = incoming.signalType === 'DELETE' && definition.path === 'hooks';
    return deletes && outcome?.kind === 'failed' && isViolated(cycles, outcome.error);
  });
  if (failed.length === 0) return;
  for (const [definition, messages] of Map.groupBy(failed, (message) => message.definition)) {
    const columns = cycles.of(definition).flatMap(({ leftOut }) => leftOut);
    if (columns.length === 0) continue;
    const keys = messages.map(({ key }) => key.parts);
    await new SqlSession(em).run(clearColumns(definition, columns, keys));
  }
  await work.apply(em, failed, 'no', cycles);
}
