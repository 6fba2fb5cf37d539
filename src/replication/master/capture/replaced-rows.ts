import { CompiledQuery } from 'kysely';
import { keyArrays, keyTypes } from '../../compare/find-rows.js';
import { quoted } from '../../../postgres/identifiers.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import type { Place } from './before-images.js';
import { CAPTURED } from './captured-statement.js';
import { INCARNATION, REVISION, type RowImage, UPDATED } from '../definition/master-table.js';
import { replacing } from './own-columns.js';

/** A row that has the key of one that was deleted in the same transaction. */
export interface ReplacedRow {
  readonly image: RowImage;
  readonly deleted: RowImage;
}

const CHUNK = 1_000;

/**
 * Makes such rows later than what they replace; answers with them as they then are, one text each. What a nested
 * transaction beside this one has rolled back meanwhile is left alone: the row with the key is then the former one again,
 * of another incarnation.
 */
export async function raiseReplaced(
  { transaction, table }: Pick<Place, 'transaction' | 'table'>,
  sqlName: string,
  rows: readonly ReplacedRow[],
): Promise<Record<string, unknown>[]> {
  const client = transaction as unknown as Executor;
  const run = async (text: string, parameters: readonly unknown[]): Promise<Record<string, unknown>[]> =>
    (await client.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, [...parameters]) as never))
      .rows as never;
  const session = {
    run: async ({ text, parameters }: { text: string; parameters: readonly unknown[] }) =>
      (await run(text, parameters)) as Record<string, string | null>[],
  };
  const types = await keyTypes(session, { name: sqlName, keyColumns: table.keyColumns });
  const width = types.length;
  const names = [...types.map((_, index) => `"cqrs:k${index}"`), '"cqrs:i"', '"cqrs:r"', '"cqrs:u"', '"cqrs:n"'];
  const arrays = names.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const same = table.keyColumns
    .map(({ field }, index) => `"cqrs:row".${quoted(field)} = "cqrs:former"."cqrs:k${index}"::${types[index]}`)
    .join(' and ');
  const assignments = replacing({
    incarnation: '"cqrs:former"."cqrs:i"::bigint',
    revision: '"cqrs:former"."cqrs:r"::bigint',
    updated: '"cqrs:former"."cqrs:u"::timestamptz',
  });
  const text =
    `update ${sqlName} as "cqrs:row" set ${assignments} from unnest(${arrays}) as "cqrs:former" (${names.join(', ')})` +
    ` where ${same} and "cqrs:row".${quoted(INCARNATION)} = "cqrs:former"."cqrs:n"::bigint returning ${table.returning} ${CAPTURED}`;
  const answers: Record<string, unknown>[] = [];
  for (let start = 0; start < rows.length; start += CHUNK) {
    const chunk = rows.slice(start, start + CHUNK);
    const own = (field: string): (string | null)[] => chunk.map(({ deleted }) => table.value(deleted, field));
    const incarnations = chunk.map(({ image }) => table.value(image, INCARNATION));
    const keys = keyArrays(
      chunk.map(({ image }) => table.keyValues(image)),
      types,
    );
    answers.push(
      ...(await run(text, [...keys.slice(0, width), own(INCARNATION), own(REVISION), own(UPDATED), incarnations])),
    );
  }
  return answers;
}
