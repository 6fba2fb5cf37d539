import type { Cqrs } from '../../cqrs.js';
import { jsonToText, stringifyJson, type WireValue } from '../../wire/values.js';
import type { Letter } from '../../operations/dead-letters.js';
import type { ReplicaColumn } from '../../replication/replica/definition/replica-columns.js';
import type { ReplicaDefinition } from '../../replication/replica/definition/replica-definition.js';
import { SqlSession } from '../../replication/replica/rows/sql-session.js';

/** The field of a message that is at fault, as far as that can be known, and its value as JSON. */
export interface FaultyField {
  readonly field: string;
  readonly value: string | null;
}

/**
 * From what the error says: it names the field, the column, or the constraint; or it names nothing, as PostgreSQL does
 * for a value that is too long, and the columns are tried one by one.
 */
export async function faultyField(cqrs: Cqrs, letter: Letter): Promise<FaultyField | null> {
  const { payload, error } = letter;
  if (!error) return null;
  const named = fieldNamed(error);
  const definition = payload && cqrs.replicas.find(payload.cqrsId);
  const field = named ?? (definition && (await byDatabase(cqrs, definition, letter)));
  if (field === undefined) return null;
  const value = payload?.instanceData[field];
  return { field, value: value === undefined ? null : stringifyJson(value) };
}

/** What an error of ours names by itself. */
export function fieldNamed(error: string): string | undefined {
  const [, mapped] = /^MappingError: [^:]*: (?:the key )?'([^']+)' (?:is|does|holds)/.exec(error) ?? [];
  const [, path] = /^InvalidPayloadError: '([^']+)'/.exec(error) ?? [];
  return mapped ?? path?.split('.').at(-1);
}

async function byDatabase(cqrs: Cqrs, definition: ReplicaDefinition, letter: Letter): Promise<string | undefined> {
  const error = letter.error!;
  const [, column] = /\bcolumn ([^\s,\])]+)/.exec(error) ?? [];
  const [, constraint] = /\bconstraint ([^\s,\])]+)/.exec(error) ?? [];
  const fields = column !== undefined ? [column] : constraint !== undefined ? await columnsOf(cqrs, constraint) : [];
  const wire = fields.map((field) => definition.columns.find((one) => one.field === field)?.wire[0]);
  const found = wire.find((name) => name !== undefined);
  if (found !== undefined || !/\bSQLSTATE 22/.test(error)) return found;
  return misfit(cqrs, definition, letter);
}

async function columnsOf(cqrs: Cqrs, constraint: string): Promise<string[]> {
  return cqrs.orm.em.fork().transactional(async (em) => {
    const rows = await new SqlSession(em).run({
      text: `select a.attname::text as field from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
        where c.conname = $1`,
      parameters: [constraint],
    });
    return rows.map(({ field }) => field!);
  });
}

/** The first field whose value does not fit its column by itself. */
async function misfit(cqrs: Cqrs, { columns }: ReplicaDefinition, { payload }: Letter): Promise<string | undefined> {
  for (const column of columns) {
    const field = column.wire.find((name) => Object.hasOwn(payload!.instanceData, name));
    const value = field === undefined ? null : payload!.instanceData[field]!;
    if (value !== null && !(await fits(cqrs, column, value))) return field;
  }
  return undefined;
}

async function fits(cqrs: Cqrs, { kind, type, cast }: ReplicaColumn, value: WireValue): Promise<boolean> {
  let text: string | null;
  try {
    text = jsonToText(kind, value);
  } catch {
    return false;
  }
  // A cast to a shorter text cuts it, where storing it fails.
  const [, longest] = /^(?:varchar|character varying|char|character|bpchar)\((\d+)\)$/.exec(type) ?? [];
  if (longest !== undefined) return text === null || Array.from(text.trimEnd()).length <= Number(longest);
  const withScale = /^(?:numeric|decimal)\(/.test(type) ? type : cast;
  try {
    await cqrs.orm.em
      .fork()
      .transactional((em) => new SqlSession(em).run({ text: `select $1::text::${withScale}`, parameters: [text] }));
    return true;
  } catch {
    return false;
  }
}
