import * as z from 'zod';
import { text } from './values.js';

export const Role = z.enum(['read-only', 'operator']);
export type Role = z.infer<typeof Role>;

export const ServiceRole = z.enum(['master', 'replica']);
export type ServiceRole = z.infer<typeof ServiceRole>;

export const ColumnType = z.enum(['text', 'number', 'boolean', 'date', 'datetime', 'uuid', 'json', 'enum', 'other']);
export type ColumnType = z.infer<typeof ColumnType>;

export const Operator = z.enum([
  'eq',
  'ne',
  'gt',
  'gte',
  'lt',
  'lte',
  'contains',
  'startsWith',
  'in',
  'empty',
  'notEmpty',
]);
export type Operator = z.infer<typeof Operator>;

export const Column = z.object({
  name: text.describe('the property; an embeddable’s leaf is its path with underscores'),
  type: ColumnType,
  databaseType: text.describe('as declared, e.g. numeric(12,2)'),
  nullable: z.boolean(),
  key: z.boolean(),
  travels: z.boolean().describe('whether it is part of the message'),
  sortable: z.boolean(),
  indexed: z.boolean().describe('sorting by another column reads the whole table'),
  searched: z.boolean().describe('whether the search box looks into it'),
  operators: z.array(Operator).describe('empty: it cannot be filtered'),
  values: z.array(text).optional().describe('of an enum'),
});
export type Column = z.infer<typeof Column>;

const entity = {
  cqrsId: text,
  entity: text.describe('the name of its class'),
  table: text,
  keyColumns: z.array(text),
  columns: z.array(Column).describe('empty when its rows cannot be looked at; then `whyNoRows` says why'),
  whyNoRows: text.nullable(),
};

export const MasterInfo = z.object({
  ...entity,
  produce: z.boolean().describe('false: CQRS_PRODUCE is off, changes are not announced'),
  filtered: z.boolean().describe('whether isSyncInstance chooses among its rows'),
});
export type MasterInfo = z.infer<typeof MasterInfo>;

export const ReplicaInfo = z.object({
  ...entity,
  path: z.enum(['rows', 'hooks', 'none']).describe('set-based SQL, the class’s own hooks, or no table at all'),
});
export type ReplicaInfo = z.infer<typeof ReplicaInfo>;

export const Environment = z.object({ name: text, color: z.enum(['grey', 'green', 'amber', 'red']) });
export type Environment = z.infer<typeof Environment>;

export const ServiceInfo = z.object({
  name: text,
  version: text.describe('of mikro-orm-cqrs'),
  environment: Environment.nullable(),
  roles: z.array(ServiceRole),
  user: z.object({ name: text, role: Role.describe('what the user may do here, `readOnly` included') }),
  readOnly: z.boolean().describe('nobody may act here'),
  exchange: text,
  queue: text.nullable().describe('of the replicas of this service'),
  queues: z.array(text).describe('known queues of replicas that follow the masters of this service'),
  masters: z.array(MasterInfo),
  replicas: z.array(ReplicaInfo),
});
export type ServiceInfo = z.infer<typeof ServiceInfo>;

export const ApiError = z.object({
  error: z.object({
    code: z.enum([
      'bad-request',
      'unauthorized',
      'forbidden',
      'not-found',
      'conflict',
      'too-many-requests',
      'timeout',
      'unavailable',
      'internal',
    ]),
    message: text,
    cure: text.optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
});
export type ApiError = z.infer<typeof ApiError>;
