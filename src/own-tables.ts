import type { EntityMetadata, MetadataStorage } from '@mikro-orm/core';
import { ActivityRow } from './activity/activity-table.js';
import { JobRow } from './jobs/job-table.js';
import { CapturedChange } from './replication/master/triggers/captured-changes.js';
import { HeldMessage } from './messaging/outbox/held-messages.js';
import { OutboxMessage } from './messaging/outbox/outbox.js';
import { KnownRoute } from './messaging/outbox/routes.js';
import { SentMessage } from './messaging/outbox/sent-messages.js';
import { Tombstone } from './replication/replica/rows/tombstones.js';

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
