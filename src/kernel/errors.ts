/**
 * Every error this library throws. Text = what happened, to which id, what to do; `data` holds the same facts for
 * programs. Row values and credentials never appear in either.
 */

/** The base of all errors: `code` is stable, `data` names the ids involved, `cure` says what to do. */
export abstract class CqrsError extends Error {
  abstract readonly code: string;

  constructor(
    message: string,
    readonly data: Readonly<Record<string, unknown>>,
    readonly cure: string,
    options?: ErrorOptions,
  ) {
    super(cure ? `${message} ${cure}` : message, options);
    this.name = new.target.name;
  }
}

/** One thing that is wrong with the set-up: where, what, and how to mend it. */
export interface Problem {
  /** The entity, setting or table concerned, e.g. `Account`, `settings.replica.maxRetries`. */
  readonly where: string;
  readonly what: string;
  readonly cure: string;
}

/** Something that was found by looking: a `problem` loses or stops something, `advice` may do so one day. */
export interface Finding extends Problem {
  readonly severity: 'problem' | 'advice';
}

/** Thrown at start, never later: lists every problem of every entity and setting at once. */
export class ConfigurationError extends CqrsError {
  readonly code = 'configuration';

  constructor(readonly problems: readonly Problem[]) {
    const lines = problems.map((problem) => `  - ${problem.where}: ${problem.what} ${problem.cure}`);
    super(
      `mikro-orm-cqrs cannot start: ${problems.length} problem${problems.length === 1 ? '' : 's'}.\n${lines.join('\n')}`,
      { problems },
      '',
    );
  }
}

/** A message or a command names a `CQRS_ID` that this service has not declared. */
export class UnknownCqrsIdError extends CqrsError {
  readonly code = 'unknown-cqrs-id';

  constructor(cqrsId: string, known: readonly string[]) {
    super(
      `Unknown CQRS_ID '${cqrsId}'.`,
      { cqrsId, known },
      known.length > 0 ? `Known here: ${known.join(', ')}.` : 'Nothing is declared here.',
    );
  }
}

/** A body that breaks the wire contract. It is never retried: the same bytes would fail again. */
export class InvalidPayloadError extends CqrsError {
  readonly code = 'invalid-payload';

  constructor(
    /** What is wrong with it, without its content. */
    readonly reason: string,
    data: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(`The message is not a valid payload: ${reason}.`, data, 'Correct its sender.', options);
  }
}

/** A readable message whose data does not fit the replica. Not retried: only a change of code or schema helps. */
export class MappingError extends CqrsError {
  readonly code = 'mapping';

  constructor(cqrsId: string, reason: string, data: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(
      `Cannot map a message of '${cqrsId}': ${reason}.`,
      { cqrsId, ...data },
      'Correct CQRS_MAPPING or the replica, then retry the dead letter.',
      options,
    );
  }
}

/** The broker could not be reached or refused. The message stays where it was and is tried again. */
export class TransportError extends CqrsError {
  readonly code = 'transport';

  constructor(reason: string, data: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(`${reason}.`, data, 'It is tried again by itself.', options);
  }
}

/**
 * The broker does not take one message and says why; other messages are not concerned. `passing`: the reason ends by
 * itself (a queue that is full); otherwise somebody has to do something.
 */
export class MessageRefusedError extends CqrsError {
  readonly code = 'message-refused';

  constructor(
    reason: string,
    readonly passing: boolean,
    data: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(`${reason}.`, data, '', options);
  }
}

/** The database could not be reached at start, or refused. `data.database` names it, without user and password. */
export class DatabaseUnreachableError extends CqrsError {
  readonly code = 'database-unreachable';

  constructor(database: string, reason: string, options?: ErrorOptions) {
    super(
      `The database ${database} cannot be reached: ${reason}.`,
      { database },
      'Start it, or correct `clientUrl` and `driverOptions` of MikroORM.',
      options,
    );
  }
}

/** A write of a master that cannot be replicated, refused before it is committed. */
export class UnsupportedWriteError extends CqrsError {
  readonly code = 'unsupported-write';

  constructor(
    entity: string,
    reason: string,
    cure: string,
    data: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(`Cannot replicate this write of ${entity}: ${reason}.`, { entity, ...data }, cure, options);
  }
}

/** What an operator gave cannot be worked with: a stream that is empty or of another kind, a bad line, a key of another kind. */
export class InputError extends CqrsError {
  readonly code = 'input';

  constructor(message: string, cure = '', options?: ErrorOptions) {
    super(message, {}, cure, options);
  }
}

/** A replica was asked and could not answer: it does not have the id, its database refuses, its answer makes no sense. */
export class ReplicaAnswerError extends CqrsError {
  readonly code = 'replica-answer';

  constructor(queue: string, reason: string, cure: string, options?: ErrorOptions) {
    super(`The replica behind the queue '${queue}' ${reason}.`, { queue }, cure, options);
  }
}
