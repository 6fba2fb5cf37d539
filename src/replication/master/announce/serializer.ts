import { UnsupportedWriteError } from '../../../kernel/errors.js';
import { losesInJson } from '../../../wire/exact-texts.js';
import type { MetaContext, Settings } from '../../../kernel/settings.js';
import { bodyOf, SignalType } from '../../../wire/payload.js';
import { parseJson, textToJson, type WireObject, type WireValue } from '../../../wire/values.js';
import type { OutboxEntry } from '../../../messaging/outbox/outbox.js';
import { requireReadable, requireShort, requireWholeKey, userJson } from './can-travel.js';
import type { CqrsSerializer } from '../definition/master-statics.js';
import {
  type MasterDefinition,
  REVISION,
  UPDATED,
  type MasterColumn,
  type MasterTable,
  type RowImage,
} from '../definition/master-table.js';

/**
 * Row → message. Columns become JSON text straight from PostgreSQL's own text; JavaScript objects are made only for
 * what user code has asked to see.
 */

/** One message to be written, decided by the transaction log. */
export interface Announcement {
  readonly definition: MasterDefinition;
  readonly signalType: SignalType;
  readonly row: RowImage;
  /** The row before the transaction, if it is known. */
  readonly before?: RowImage;
  /** True when the row was created in this transaction. */
  readonly created: boolean;
  /** For a DELETE: how much the deletion adds to the row's own revision (1 for a deleted row, 0 for a filtered one). */
  readonly revisionStep: number;
  readonly queue: string | null;
  /** What the transaction of the write said of itself, as JSON. */
  readonly context?: string | null;
  /** The row as an entity, for hooks and serializers; undefined when nobody needs it. */
  readonly entity?: object;
}

/** At once, unless the master has a serializer of its own: a message costs no turn of the event loop. */
export function toOutboxEntry(announcement: Announcement, settings: Settings): OutboxEntry | Promise<OutboxEntry> {
  if (announcement.signalType === SignalType.DELETE) {
    return entryOf(
      announcement,
      deletionJson(announcement, keyJson(announcement.definition.table, announcement.row)),
      settings,
    );
  }
  const data = dataJson(announcement);
  return typeof data === 'string'
    ? entryOf(announcement, data, settings)
    : data.then((json) => entryOf(announcement, json, settings));
}

function entryOf(announcement: Announcement, instanceData: string, settings: Settings): OutboxEntry {
  const { definition, signalType, row, queue } = announcement;
  const { table, cqrsId } = definition;
  const pk = keyJson(table, row);
  requireWholeKey(announcement);
  const previousData = signalType === SignalType.SAVE ? previousJson(announcement) : 'null';
  // Before user code is shown what would be refused.
  requireReadable(announcement, instanceData);
  const context = announcement.context ? parseJson(announcement.context) : null;
  const correlationId =
    settings.master.correlationFunction?.({ cqrsId, signalType, instancePk: parseJson(pk), queue, context }) ?? null;
  const meta = metaOf(announcement, settings.master, { pk, instanceData, previousData, context });
  const body = bodyOf({
    signalType,
    cqrsId,
    instanceData,
    previousData,
    instancePk: pk,
    correlationId: correlationId === null ? 'null' : userJson(announcement, 'correlation id', correlationId),
    meta: meta === undefined ? '{}' : userJson(announcement, 'meta', meta),
    incarnation: table.incarnation(row),
    texts: signalType === SignalType.DELETE ? undefined : textsJson(announcement),
  });
  requireReadable(announcement, body);
  requireShort(announcement, body, settings.maxPayloadBytes);
  return { cqrsId, signalType, key: table.keyOf(row), queue, body };
}

/** PostgreSQL's texts of the columns whose JSON says less; undefined when there are none. */
export function textsJson({ definition, row }: Pick<Announcement, 'definition' | 'row'>): string | undefined {
  // What a serializer makes is JSON from the beginning.
  if (definition.serializer) return undefined;
  let members = '';
  for (const column of definition.announced) {
    if (!column.mayLose) continue;
    const text = row[column.position]!;
    if (text === null || !losesInJson(column.kind, column.type, text)) continue;
    members += `${members === '' ? '' : ','}${column.member}{"${column.kind}":${JSON.stringify(text)}}`;
  }
  return members === '' ? undefined : `{${members}}`;
}

/** The instance data of a SAVE or SYNC. */
export async function instanceJson(state: Pick<Announcement, 'definition' | 'row' | 'entity'>): Promise<string> {
  return dataJson(state);
}

function dataJson(state: Pick<Announcement, 'definition' | 'row' | 'entity'>): string | Promise<string> {
  const { definition, row, entity } = state;
  const { table } = definition;
  if (definition.serializer) {
    return runSerializer(definition, entity!).then((data) =>
      userJson(state, 'data of its CQRS_SERIALIZER', {
        ...data,
        cqrs_revision: table.revision(row),
        cqrs_updated: updatedOf(table, row),
      }),
    );
  }
  let members = '';
  for (const column of definition.announced) members += `${memberJson(column, row[column.position]!)},`;
  const updated = textToJson('datetime', table.value(row, UPDATED));
  return `{${members}"cqrs_revision":${table.value(row, REVISION)},"cqrs_updated":${updated}}`;
}

// The key is called `id` here whatever its column's name: django-cqrs insists on it.
function deletionJson(announcement: Announcement, pk: string): string {
  const { definition, row, revisionStep, entity } = announcement;
  const { table, hooks } = definition;
  const custom = entity && hooks.getCustomCqrsDeleteData?.(entity);
  return (
    `{"id":${pk},"cqrs_revision":${table.revision(row) + revisionStep},` +
    `"cqrs_updated":${textToJson('datetime', table.value(row, UPDATED))}` +
    `${custom ? `,"custom":${userJson(announcement, 'deletion data', custom)}` : ''}}`
  );
}

function previousJson({ definition, row, before, created }: Announcement): string {
  const { table, tracked } = definition;
  if (tracked.length === 0) return 'null';
  if (created) {
    const set = tracked.filter((column) => table.value(row, column.field) !== null);
    return `{${set.map((column) => memberJson(column, null)).join(',')}}`;
  }
  if (!before) return 'null';
  const changed = tracked.filter((column) => table.value(row, column.field) !== table.value(before, column.field));
  return `{${changed.map((column) => memberJson(column, table.value(before, column.field))).join(',')}}`;
}

function metaOf(
  { definition, signalType, entity }: Announcement,
  settings: Settings['master'],
  { pk, instanceData, previousData, context }: MetaParts,
): WireValue | undefined {
  const hook = definition.hooks.getCqrsMeta;
  if (!hook && !settings.metaFunction) return undefined;
  const told: MetaContext = {
    cqrsId: definition.cqrsId,
    signalType,
    instancePk: parseJson(pk),
    instanceData: parseJson(instanceData) as WireObject,
    previousData: parseJson(previousData) as WireObject | null,
    context,
  };
  return (hook ? hook(entity!, told) : settings.metaFunction!(told)) ?? undefined;
}

/** JSON of the message, but for the context. */
interface MetaParts extends Readonly<Record<'pk' | 'instanceData' | 'previousData', string>> {
  readonly context: WireValue;
}

/** The key as it travels: a scalar, or an array for a composite key. */
export function keyJson(table: MasterTable, row: RowImage): string {
  const parts = table.keyColumns.map(({ kind, position }) => textToJson(kind, row[position]!));
  return parts.length === 1 ? parts[0]! : `[${parts.join(',')}]`;
}

/**
 * What a master's serializer makes of an entity.
 * @throws UnsupportedWriteError when that is no object: a message without data would harm every replica.
 */
export async function runSerializer({ serializer, meta }: MasterDefinition, entity: object): Promise<object> {
  const data: unknown = await (isClass(serializer!)
    ? new serializer(entity).data
    : (serializer as AnyFunction)(entity));
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data;
  throw new UnsupportedWriteError(
    meta.className,
    'its CQRS_SERIALIZER answered no object',
    'Return the data of the row.',
  );
}

type AnyFunction = (entity: object) => unknown;

function isClass(serializer: CqrsSerializer): serializer is new (entity: object) => { data: object | Promise<object> } {
  return /^class\b/.test(Function.prototype.toString.call(serializer));
}

function updatedOf(table: MasterTable, row: RowImage): WireValue {
  return parseJson(textToJson('datetime', table.value(row, UPDATED)));
}

function memberJson(column: MasterColumn, text: string | null): string {
  return column.member + textToJson(column.kind, text);
}
