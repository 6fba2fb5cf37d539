import './kernel/supported-node.js';
// Setting up
export { Cqrs, type ConsumerOptions, type CqrsOptions } from './cqrs.js';
export type { SyncOptions, SyncResult } from './replication/master/row-sender.js';
export type { Settings, SettingsInput } from './kernel/settings.js';
export type { TransportName, TransportOption } from './brokers/by-name.js';

// Declaring masters
export {
  Master,
  master,
  type MasterClass,
  masterClass,
  MasterEntity,
  type MasterMembers,
  type MasterOptions,
  masterProperties,
  type FieldsOf,
} from './replication/master/definition/master-entity.js';
export type { CqrsSerializer } from './replication/master/definition/master-statics.js';
export type { MasterDefinition } from './replication/master/definition/master-table.js';
export type { CorrelationContext, MetaContext } from './kernel/settings.js';

// Writing many rows
export type { BulkResult, MasterManager } from './replication/master/bulk.js';
export type { PendingAnnouncement } from './replication/master/master-runtime.js';

// Declaring replicas
export {
  Replica,
  replica,
  type ReplicaClass,
  replicaClass,
  ReplicaEntity,
  type ReplicaMembers,
  type ReplicaOptions,
  replicaProperties,
  type MappingOf,
} from './replication/replica/definition/replica-entity.js';
export type { ReplicaDefinition } from './replication/replica/definition/replica-definition.js';
export type { DeletionContext, ReplicaManager } from './replication/replica/by-hand.js';
export type {
  CreateContext,
  DeleteContext,
  HookContext,
  SaveContext,
  UpdateContext,
} from './replication/replica/definition/replica-hooks.js';

// Running
export type { Consumer } from './messaging/inbox/consumer.js';
export type { RefusedMessages } from './messaging/outbox/refused-messages.js';
export type { Relay } from './messaging/outbox/relay.js';
export type { OutboxState, Refusal, RefusedMessage, RefusedSelection } from './messaging/outbox/held-messages.js';
export type { Service } from './kernel/service.js';

// Repairing
export { examineService, type CheckReport, type DoctorReport } from './operations/doctor/doctor.js';
export type { Check, CheckResult } from './operations/doctor/check.js';
export { retireQueue, type RetireResult } from './operations/retire.js';
export { raiseIncarnations, type RaiseIncarnationsOptions } from './operations/raise-incarnations.js';
export { reconcile, type ReconcileOptions } from './operations/reconcile/reconcile.js';
export type { ReconciledRow, ReconcileProgress, ReconcileReport } from './operations/reconcile/report.js';
export type { Difference } from './operations/reconcile/row-verdict.js';

// Watching
export { type CqrsEventName, type CqrsEvents, Events, type MessageFields } from './kernel/events.js';
export { logEvents, type LogLevel, type LogOptions } from './observability/logging.js';

export type { Activity, ActivityOptions, Period, ProcessActivity, RecentEvent } from './activity/read-activity.js';
export { healthHandler } from './activity/health-handler.js';
export type { Health, HealthState, Reason } from './activity/verdict.js';
export type { Look } from './activity/observer.js';
export type { Conditions, Counters, EntityCounters, ProcessRole } from './activity/records.js';

// Messages
export { SignalType, TransportPayload, type TransportPayloadInit, type Version } from './wire/payload.js';
export type { ExactTexts } from './wire/exact-texts.js';
export type { ExactNumber, WireObject, WireValue } from './wire/values.js';

// Moving messages, and reacting to other kinds of them
export { MemoryBroker, MemoryTransport } from './messaging/transport/memory.js';
export type {
  AskOptions,
  ConsumeOptions,
  DeadLetter,
  DeadLetterOptions,
  DeadLetters,
  Delivery,
  OutgoingMessage,
  PublishResult,
  QueueState,
  Respond,
  Route,
  Subscription,
  Transport,
  TransportContext,
} from './messaging/transport/transport.js';
export type { Handler, Outcome, Received, RetryRules } from './messaging/inbox/handler.js';
export { Registry, type Definition } from './replication/declare/registry.js';

// Errors
export {
  ConfigurationError,
  CqrsError,
  DatabaseUnreachableError,
  InputError,
  InvalidPayloadError,
  MappingError,
  type Problem,
  ReplicaAnswerError,
  MessageRefusedError,
  TransportError,
  UnknownCqrsIdError,
  UnsupportedWriteError,
} from './kernel/errors.js';
