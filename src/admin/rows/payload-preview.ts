import { keyTypes } from '../../replication/compare/find-rows.js';
import { describeError } from '../../kernel/describe-error.js';
import { SignalType, TransportPayload } from '../../wire/payload.js';
import type { Cqrs } from '../../cqrs.js';
import { withoutHidden } from '../../operations/hidden-values.js';
import type { Snapshot } from '../../operations/snapshot.js';
import { forkInside, hydrate, populate } from '../../replication/master/definition/hydrate.js';
import { type MasterDefinition, needsEntity, type RowImage } from '../../replication/master/definition/master-table.js';
import { toOutboxEntry } from '../../replication/master/announce/serializer.js';
import type { TransactionContext } from '../../replication/master/mikro-orm-internals.js';
import type { Payload } from '../contract.js';
import { indentJson } from './indent-json.js';
import type { BrowsableTable } from './tables.js';

/** One row of a master as capture would read it; undefined when there is none. */
export async function readImage(
  { session }: Snapshot,
  definition: MasterDefinition,
  table: BrowsableTable,
  key: readonly string[],
): Promise<RowImage | undefined> {
  const types = await keyTypes(session, table);
  const condition = table.keyColumns.map(({ field }, index) => `"${field}" = $${index + 1}::text::${types[index]}`);
  const [row] = await session.run({
    text: `select ${definition.table.returning} from ${table.name} where ${condition.join(' and ')}`,
    parameters: [...key],
  });
  return row && definition.table.takeImage(row);
}

/** Whether `isSyncInstance` lets a row travel. Rejects with what it throws. */
export function isIncluded(cqrs: Cqrs, { em }: Snapshot, definition: MasterDefinition, image: RowImage): boolean {
  const own = definition.table.definitionOf(image) ?? definition;
  const filter = own.hooks.isSyncInstance;
  const fork = forkInside(cqrs.orm, em.getTransactionContext() as TransactionContext);
  return !filter || filter(hydrate(fork, own, image));
}

/**
 * What a sync of the row would send now, made by the very code that sends; it is appended nowhere. Functions of the user
 * (serializer, meta, correlation) are called.
 */
export async function previewPayload(
  cqrs: Cqrs,
  { em }: Snapshot,
  table: BrowsableTable,
  { definition, image, included }: { definition: MasterDefinition; image: RowImage; included: boolean },
): Promise<Payload> {
  const own = definition.table.definitionOf(image) ?? definition;
  const signalType = included ? SignalType.SYNC : SignalType.DELETE;
  try {
    const fork = forkInside(cqrs.orm, em.getTransactionContext() as TransactionContext);
    const entity = needsEntity(own) ? hydrate(fork, own, image) : undefined;
    if (entity && included) await populate(fork, own, [entity]);
    const { body } = await toOutboxEntry(
      { definition: own, signalType, row: image, created: false, revisionStep: 0, queue: null, entity },
      cqrs.settings,
    );
    const shown = withoutHidden(TransportPayload.fromMessage(body), {
      wire: table.hidden.wire,
      values: usesOwnCode(cqrs, own) ? secretsOf(own, table, image) : [],
    });
    return { signalType, body: indentJson(shown.payload.toMessage()), error: null, hidden: [...shown.hidden] };
  } catch (error) {
    return { signalType, body: null, error: describeError(error), hidden: [] };
  }
}

function usesOwnCode({ settings }: Cqrs, { serializer, hooks }: MasterDefinition): boolean {
  const { metaFunction, correlationFunction } = settings.master;
  return Boolean(
    serializer ?? hooks.getCqrsMeta ?? hooks.getCustomCqrsDeleteData ?? metaFunction ?? correlationFunction,
  );
}

function secretsOf({ table: columns }: MasterDefinition, { hidden }: BrowsableTable, image: RowImage): string[] {
  return hidden.fields.flatMap((field) => columns.value(image, field) ?? []);
}
