import { p } from '@mikro-orm/postgresql';

/** The columns that a master and its replica have in common, as the Django models of the same names have them. */

export const sample = () => ({
  id: p.integer().primary().autoincrement(false),
  title: p.string().length(200),
  body: p.text().nullable(),
  amount: p.decimal('string').precision(24).scale(6).nullable(),
  ratio: p.double().nullable(),
  active: p.boolean().nullable(),
  total: p.bigint('bigint').nullable(),
  day: p.date().nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  uid: p.uuid().nullable(),
  data: p.json<object | string | number | boolean>().nullable(),
});

export const named = () => ({ id: p.integer().primary().autoincrement(false), name: p.string().length(100) });

export const uuidKeyed = () => ({ id: p.uuid().primary(), name: p.string().length(100) });

export const textKeyed = () => ({ code: p.string().length(40).primary(), name: p.string().length(100) });

export const bigKeyed = () => ({ id: p.bigint('bigint').primary().autoincrement(false), name: p.string().length(100) });

export const stock = () => ({ ...named(), city: p.string().length(100).nullable() });

/** All of a tracked row but its relation. */
export const tracked = () => ({
  ...named(),
  price: p.decimal('string').precision(12).scale(2).nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  uid: p.uuid().nullable(),
  untracked: p.integer().default(0),
});

export const oddTime = () => ({
  id: p.integer().primary().autoincrement(false),
  clock: p.time().columnType('time(6)'),
});

export const oddDuration = () => ({ id: p.integer().primary().autoincrement(false), span: p.type('interval') });

export const oddBytes = () => ({ id: p.integer().primary().autoincrement(false), bytes: p.blob() });
