import './core/supported-node.js';
// Setting up
export { Cqrs, type ConsumerOptions, type CqrsOptions } from './cqrs.js';
export type { SyncOptions, SyncResult } from './master/row-sender.js';
export type { Settings, SettingsInput } from './core/settings.js';
export type { TransportName, TransportOption } from './transport/by-name.js';

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
} from './master/master-entity.js';
export type { CqrsSerializer, MasterDefinition } from './master/master-definition.js';
export type { CorrelationContext, MetaContext } from './core/settings.js';

// Writing many rows
export type { BulkResult, MasterManager } from './master/bulk.js';
export type { PendingAnnouncement } from './master/master-runtime.js';

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
} from './replica/replica-entity.js';
export type { ReplicaDefinition } from './replica/replica-definition.js';
export type { DeletionContext, ReplicaManager } from './replica/by-hand.js';
export type { CreateContext, DeleteContext, HookContext, SaveContext, UpdateContext } from './replica/replica-hooks.js';

// Running
export type { Consumer } from './inbox/consumer.js';
export type { RefusedMessages } from './outbox/refused-messages.js';
export type { Relay } from './outbox/relay.js';
export type { OutboxState, Refusal, RefusedMessage, RefusedSelection } from './outbox/held-messages.js';
export type { Service } from './core/service.js';

// Repairing
export { examineService, type CheckReport, type DoctorReport } from './maintenance/doctor/doctor.js';
export type { Check, CheckResult } from './maintenance/doctor/check.js';
export { retireQueue, type RetireResult } from './maintenance/retire.js';
export { raiseIncarnations, type RaiseIncarnationsOptions } from './maintenance/raise-incarnations.js';
export { reconcile, type ReconcileOptions } from './maintenance/reconcile/reconcile.js';
export type { ReconciledRow, ReconcileProgress, ReconcileReport } from './maintenance/reconcile/report.js';
export type { Difference } from './maintenance/reconcile/row-verdict.js';

// Watching
export { type CqrsEventName, type CqrsEvents, Events, type MessageFields } from './core/events.js';
export { logEvents, type LogLevel, type LogOptions } from './observability/logging.js';

export type { Activity, ActivityOptions, Period, ProcessActivity, RecentEvent } from './activity/read-activity.js';
export { healthHandler } from './activity/health-handler.js';
export type { Health, HealthState, Reason } from './activity/verdict.js';
export type { Look } from './activity/observer.js';
export type { Conditions, Counters, EntityCounters, ProcessRole } from './activity/records.js';

// Messages
export { SignalType, TransportPayload, type TransportPayloadInit, type Version } from './core/payload.js';
export type { ExactTexts } from './core/exact-texts.js';
export type { ExactNumber, WireObject, WireValue } from './core/wire-values.js';

// Moving messages, and reacting to other kinds of them
export { MemoryBroker, MemoryTransport } from './transport/memory.js';
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
} from './transport/transport.js';
export type { Handler, Outcome, Received, RetryRules } from './inbox/handler.js';
export { Registry, type Definition } from './core/registry.js';

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
} from './core/errors.js';
