import type { EntityMetadata, MetadataStorage } from '@mikro-orm/core';
import { ActivityRow } from './activity/activity-table.js';
import { JobRow } from './jobs/job-table.js';
import { CapturedChange } from './master/captured-changes.js';
import { HeldMessage } from './outbox/held-messages.js';
import { OutboxMessage } from './outbox/outbox.js';
import { KnownRoute } from './outbox/routes.js';
import { SentMessage } from './outbox/sent-messages.js';
import { Tombstone } from './replica/tombstones.js';

/** The tables of this library, as entities. */
export const OWN_TABLES = [
  OutboxMessage,
  HeldMessage,
  KnownRoute,
  SentMessage,
  CapturedChange,
  Tombstone,
  ActivityRow,
  JobRow,
];

/** Those of them that a service needs are among its entities. */
export function ownTablesAmong(entities: Iterable<EntityMetadata>): EntityMetadata[] {
  return [...entities].filter((meta) => OWN_TABLES.some((table) => table.meta.class === meta.class));
}

/** Takes away what a service does without: its schema stays its own. */
export function keepNeededTables(
  storage: MetadataStorage,
  needed: Readonly<Record<'masters' | 'replicas' | 'sent' | 'triggers' | 'activity', boolean>>,
): void {
  const { masters, replicas, sent, triggers, activity } = needed;
  const unneeded = [
    ...(masters ? [] : [OutboxMessage, HeldMessage, KnownRoute]),
    ...(sent ? [] : [SentMessage]),
    ...(triggers ? [] : [CapturedChange]),
    ...(replicas ? [] : [Tombstone]),
    ...(activity ? [] : [ActivityRow]),
    ...(masters || replicas ? [] : [JobRow]),
  ];
  for (const { meta } of unneeded) storage.reset(meta.class as never);
}
