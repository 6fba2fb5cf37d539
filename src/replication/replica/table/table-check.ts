import type { Problem } from '../../../kernel/errors.js';
import { ADD_WHAT_IS_MISSING, versionProblem } from '../../../postgres/schema-version.js';
import { isArrayType, isNarrower, roomOf } from './column-room.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { FoundColumn, FoundTable, FoundUnique } from './table-facts.js';
import { TOMBSTONE_VERSION } from '../rows/tombstones.js';

/** What is wrong with a table: what keeps the service from starting, and what will hurt one day. */
export interface Findings {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const TOMBSTONE_FIELDS = ['cqrs_id', 'key', 'incarnation', 'revision', 'updated', 'deleted_at'];

/** @param found null: its schema may not be used; undefined: there is none. */
export function checkTombstones(table: string, found: FoundTable | null | undefined): readonly Problem[] {
  const checks = new Checks('Tombstone', table, found);
  if (!checks.hasColumns(TOMBSTONE_FIELDS)) return checks.problems;
  checks.checkPrivileges(TOMBSTONE_FIELDS, ['INSERT', 'UPDATE', 'DELETE']);
  checks.problems.push(
    ...versionProblem('Tombstone', table, { comment: checks.found.comment, version: TOMBSTONE_VERSION }),
  );
  return checks.problems;
}

/**
 * Everything in a replica's table on which messages would founder, or that changes what they bring. What a class writes by a
 * `cqrsCreate` or `cqrsDelete` of its own is left to it.
 * @param found null: its schema may not be used; undefined: there is none.
 */
export function checkReplicaTable(definition: ReplicaDefinition, found: FoundTable | null | undefined): Findings {
  const { meta, table, overrides, path } = definition;
  const checks = new Checks(meta.className, table!.name, found);
  const { problems, warnings } = checks;
  if (!checks.hasColumns(table!.fields)) return checks;
  const creates = !overrides.has('cqrsCreate');
  checks.checkPrivileges(table!.fields, [
    ...(creates ? (['INSERT'] as const) : []),
    'UPDATE',
    ...(overrides.has('cqrsDelete') ? [] : (['DELETE'] as const)),
  ]);
  if (creates) {
    checks.checkMandatory(definition);
    checks.checkGenerated(table!.fields);
  }
  if (path === 'rows') {
    checks.checkKeyIndex(definition.keyColumns.map(({ field }) => field));
    checks.checkTypes(definition.columns);
  }
  checks.checkRules(definition);
  checks.checkUniques(definition);
  checks.checkRoom(definition);
  for (const { name, events } of checks.found.triggers) {
    const cure = 'See that it returns the row, as it came.';
    checks.warn(
      `has the trigger ${name} before ${events.join(' and ')} of a row: a row that it keeps back is skipped as \`suppressed\`, and one that it changes differs from the master's.`,
      cure,
    );
  }
  if (checks.found.policed) {
    checks.warn(
      'has row security that applies to the role of this service: a row that its policies hide is taken for missing, and its deletion for done.',
      'Give the role a policy for all rows (`using (true)`), or BYPASSRLS.',
    );
  }
  return { problems, warnings };
}

class Checks implements Findings {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];

  constructor(
    private readonly where: string,
    private readonly table: string,
    private readonly maybe: FoundTable | null | undefined,
  ) {}

  /** Where there is one. */
  get found(): FoundTable {
    return this.maybe!;
  }

  warn(what: string, cure: string): void {
    this.warnings.push({ where: this.where, what: `its table ${this.table} ${what}`, cure });
  }

  /** Whether there is any use in looking on. */
  hasColumns(fields: readonly string[]): boolean {
    if (this.maybe === undefined) this.#complain('does not exist', ADD_WHAT_IS_MISSING);
    else if (this.maybe === null)
      this.#complain('is in a schema that the role of this service may not use', 'GRANT USAGE ON SCHEMA.');
    else if (this.maybe.kind !== 'r' && this.maybe.kind !== 'p') {
      const kind = { v: 'a view', m: 'a materialized view', f: 'a foreign table' }[this.maybe.kind] ?? 'no table';
      this.#complain(`is ${kind}: rows cannot be stored there under a condition`, 'Name a table of this database.');
    } else {
      const missing = fields.filter((field) => !this.found.columns.some(({ name }) => name === field));
      if (missing.length > 0) this.#complain(`lacks ${missing.join(', ')}`, ADD_WHAT_IS_MISSING);
    }
    return this.problems.length === 0;
  }

  checkPrivileges(fields: readonly string[], writes: readonly ('INSERT' | 'UPDATE' | 'DELETE')[]): void {
    const columns = this.found.columns.filter(({ name }) => fields.includes(name));
    const granted = {
      SELECT: columns.every(({ maySelect }) => maySelect),
      INSERT: columns.every(({ mayInsert }) => mayInsert),
      UPDATE: columns.every(({ mayUpdate }) => mayUpdate),
      DELETE: this.found.mayDelete,
    };
    const lacking = (['SELECT', ...writes] as const).filter((privilege) => !granted[privilege]);
    if (lacking.length === 0) return;
    this.#complain(
      `does not let the role of this service ${lacking.join(', ')}`,
      `GRANT ${lacking.join(', ')} ON ${this.table} to it.`,
    );
  }

  /** Columns that may not be null, and that no message fills. */
  checkMandatory({ meta, table, columns, path }: ReplicaDefinition): void {
    const own = new Set(path === 'hooks' ? meta.root.props.flatMap((property) => property.fieldNames ?? []) : []);
    const open = this.found.columns.filter(({ mandatory, filled, generated }) => mandatory && !filled && !generated);
    const unfilled = open.filter(({ name }) => !table!.fields.includes(name) && !own.has(name)).map(({ name }) => name);
    const cure = 'Give it a default in the database, or map it.';
    if (unfilled.length > 0) {
      const what = `has NOT NULL columns without a default that no message fills: ${unfilled.join(', ')}`;
      if (this.found.triggers.some(({ events }) => events.includes('INSERT')))
        this.warn(`${what}; a trigger has to.`, cure);
      else this.#complain(what, cure);
    }
    if (path === 'hooks') return;
    const optional = columns.filter(({ required, primary, property, field }) => {
      return (!required || property.nullable === true) && !primary && open.some(({ name }) => name === field);
    });
    if (optional.length === 0) return;
    this.warn(
      `has NOT NULL columns without a default that a message may leave empty: ${optional.map(({ field }) => field).join(', ')}.`,
      'Declare them as they are, or DROP NOT NULL.',
    );
  }

  checkGenerated(fields: readonly string[]): void {
    for (const { name, generated, numbered } of this.found.columns) {
      if (!fields.includes(name)) continue;
      if (generated) {
        this.#complain(
          `computes ${name} itself (GENERATED ALWAYS): what a message brings is refused`,
          'Leave it out of the mapping.',
        );
      }
      if (!numbered) continue;
      const cure = `ALTER TABLE ${this.table} ALTER COLUMN ${name} SET GENERATED BY DEFAULT.`;
      this.#complain(`numbers ${name} itself (GENERATED ALWAYS AS IDENTITY): what a message brings is refused`, cure);
    }
  }

  /** The upsert of set-based SQL needs an index that refuses a key that is there. */
  checkKeyIndex(key: readonly string[]): void {
    const fits = ({ columns, index, whole }: FoundUnique): boolean =>
      index && whole && columns.length === key.length && key.every((field) => columns.includes(field));
    const fitting = this.found.uniques.filter(fits);
    if (fitting.some(({ immediate }) => immediate)) return;
    const what =
      fitting.length > 0
        ? 'checks its key with the COMMIT (DEFERRABLE)'
        : `has no unique index over its key (${key.join(', ')})`;
    this.#complain(what, 'Give it a primary key over these columns that is checked at once.');
  }

  checkTypes(columns: readonly ReplicaColumn[]): void {
    for (const { field, type } of columns) {
      const found = this.#column(field);
      if (found.takes !== false || isArrayType(found.type) || isArrayType(type)) continue;
      this.#complain(
        `has ${field} as ${found.type}, which takes no ${type} as the entity declares it`,
        'Declare the type that the column has.',
      );
    }
  }

  checkRules({ path, overrides }: ReplicaDefinition): void {
    for (const { name, event, instead } of this.found.rules) {
      const deletes = event === 'DELETE' && instead && !overrides.has('cqrsDelete');
      if (deletes || event === 'UPDATE' || (event === 'INSERT' && path === 'rows')) {
        this.#complain(
          `has the rule ${name} on ${event}, beside which PostgreSQL refuses the statements of a replica`,
          'Make a trigger of it.',
        );
      } else {
        this.warn(
          `has the rule ${name} on ${event}: a row that it keeps back is skipped as \`suppressed\`.`,
          'Make a trigger of it.',
        );
      }
    }
  }

  checkUniques({ columns, keyColumns }: ReplicaDefinition): void {
    const replicated = new Set<string | null>(columns.filter(({ primary }) => !primary).map(({ field }) => field));
    for (const { name, columns: over, immediate } of this.found.uniques) {
      if (!immediate || keyColumns.every(({ field }) => over.includes(field))) continue;
      if (!over.some((field) => field === null || replicated.has(field))) continue;
      this.warn(
        `keeps the replicated ${over.map((field) => field ?? '(an expression)').join(', ')} unique at once (${name}): two rows that swap the value can never be applied.`,
        "Leave uniqueness to the master, or declare it deferred: { deferMode: 'deferred' }.",
      );
    }
  }

  checkRoom({ columns, keyColumns, statics }: ReplicaDefinition): void {
    if (statics.CQRS_CUSTOM_SERIALIZATION) return;
    for (const column of columns) {
      const { field, type } = column;
      const found = this.#column(field);
      const [actual, declared] = [roomOf(found.type), roomOf(type)];
      if (actual.kind === 'interval' && actual.part !== undefined) {
        this.#complain(`has ${field} as ${found.type}: what that cuts off cannot be told`, 'Make it an interval.');
      } else if (isNarrower(actual, declared)) {
        const what = `has ${field} as ${found.type}, which is narrower than ${type} as the entity declares it`;
        if (keyColumns.includes(column))
          this.#complain(`${what}: two keys may become one`, widen(this.table, found, type));
        else
          this.warn(
            `${what}: values that do not fit are refused, rounded or cut (replica.lossyValues).`,
            widen(this.table, found, type),
          );
      }
    }
  }

  #column(field: string): FoundColumn {
    return this.found.columns.find(({ name }) => name === field)!;
  }

  #complain(what: string, cure: string): void {
    this.problems.push({ where: this.where, what: `its table ${this.table} ${what}.`, cure });
  }
}

function widen(table: string, { name }: FoundColumn, type: string): string {
  return `ALTER TABLE ${table} ALTER COLUMN ${name} TYPE ${type}, or declare what it is.`;
}
