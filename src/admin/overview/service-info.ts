import type { AdminParts, Call } from '../http/call.js';
import type { Column, Environment, MasterInfo, ReplicaInfo, ServiceInfo } from '../contract.js';
import type { BrowsableTable } from '../rows/tables.js';
import { VERSION } from '../../kernel/version.js';

/** The service and who is asking. */
export async function serviceInfo(
  { cqrs, options, tables }: AdminParts,
  { user }: Call<'service'>,
): Promise<ServiceInfo> {
  const { settings, masters, replicas } = cqrs;
  const role = options.readOnly ? 'read-only' : user.role;
  return {
    name: settings.admin.name ?? cqrs.orm.config.get('dbName') ?? 'service',
    version: VERSION,
    environment: environmentOf(settings.admin.environment),
    roles: [...(masters.size > 0 ? (['master'] as const) : []), ...(replicas.size > 0 ? (['replica'] as const) : [])],
    user: { name: user.user, role },
    readOnly: options.readOnly,
    exchange: settings.exchange,
    queue: settings.queue,
    queues: [...settings.admin.queues],
    masters: await Promise.all(
      [...masters].map(async ({ cqrsId, produce, hooks }): Promise<MasterInfo> => ({
        ...entityInfo(await tables.master(cqrsId)),
        produce,
        filtered: hooks.isSyncInstance !== undefined,
      })),
    ),
    replicas: await Promise.all(
      [...replicas].map(async ({ cqrsId, path }): Promise<ReplicaInfo> => ({
        ...entityInfo(await tables.replica(cqrsId)),
        path,
      })),
    ),
  };
}

function entityInfo(table: BrowsableTable): Omit<ReplicaInfo, 'path'> {
  const { cqrsId, meta, columns, whyNoRows, indexed } = table;
  return {
    cqrsId,
    entity: meta.className,
    table: meta.tableName,
    keyColumns: columns.filter(({ key }) => key).map(({ name }) => name),
    columns:
      whyNoRows === null
        ? columns.map(({ field, ...column }): Column => ({ ...column, indexed: indexed.has(field) }))
        : [],
    whyNoRows,
  };
}

const COLORS: readonly [RegExp, Environment['color']][] = [
  [/^(prod|live)/i, 'red'],
  [/^(stag|pre|uat|demo)/i, 'amber'],
  [/^(dev|test|local|ci)/i, 'green'],
];

function environmentOf(name: string | null): Environment | null {
  if (name === null) return null;
  return { name, color: COLORS.find(([pattern]) => pattern.test(name))?.[1] ?? 'grey' };
}
