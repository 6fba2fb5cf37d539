import type { Condition, Matching } from '../contract.js';
import type { BrowsableTable } from './tables.js';
import type { ShownColumn } from './columns.js';
import { ApiProblem } from '../http/api-problem.js';

/** A condition in SQL over the alias `t`, its values bound. */
export class Conditions {
  readonly #texts: string[] = [];
  readonly parameters: unknown[] = [];

  /** Binds a value; answers what stands for it. */
  bind(value: unknown): string {
    this.parameters.push(value);
    return `$${this.parameters.length}`;
  }

  add(text: string): this {
    this.#texts.push(`(${text})`);
    return this;
  }

  get text(): string {
    return this.#texts.length > 0 ? this.#texts.join(' and ') : 'true';
  }

  copy(): Conditions {
    const copy = new Conditions();
    copy.#texts.push(...this.#texts);
    copy.parameters.push(...this.parameters);
    return copy;
  }
}

const SYMBOLS = { eq: '=', ne: 'is distinct from', gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;

/** What was searched and filtered for → SQL. @throws ApiProblem naming the column or operator that cannot be. */
export function conditionsOf(table: BrowsableTable, { search, filters = [] }: Matching): Conditions {
  const conditions = new Conditions();
  if (table.discriminator) {
    const { field, values } = table.discriminator;
    conditions.add(`t."${field}" = any(${conditions.bind(values)})`);
  }
  for (const filter of filters) addFilter(conditions, findColumn(table, filter.column), filter);
  if (search !== undefined && search.trim() !== '') addSearch(conditions, table, search.trim());
  return conditions;
}

/** @throws ApiProblem when the page does not show such a column. */
export function findColumn({ columns, cqrsId }: BrowsableTable, name: string): ShownColumn {
  const column = columns.find((one) => one.name === name);
  if (column) return column;
  throw new ApiProblem('bad-request', `'${cqrsId}' has no column '${name}' to look at.`, {
    cure: `Its columns are ${columns.map((one) => one.name).join(', ')}.`,
  });
}

function addFilter(conditions: Conditions, column: ShownColumn, { operator, value }: Condition): void {
  if (!column.operators.includes(operator)) {
    throw new ApiProblem('bad-request', `The column '${column.name}' cannot be filtered with '${operator}'.`, {
      cure: column.operators.length > 0 ? `It knows ${column.operators.join(', ')}.` : 'It cannot be filtered at all.',
    });
  }
  const own = `t."${column.field}"`;
  if (operator === 'empty' || operator === 'notEmpty') {
    conditions.add(`${own} is ${operator === 'empty' ? '' : 'not '}null`);
    return;
  }
  if (Array.isArray(value) !== (operator === 'in') || value === undefined) {
    const wanted = operator === 'in' ? 'a list of values' : 'one value';
    throw new ApiProblem('bad-request', `'${operator}' on '${column.name}' needs ${wanted}.`);
  }
  if (operator === 'in') conditions.add(`${own} = any(${conditions.bind(value)})`);
  else if (operator === 'contains') conditions.add(`${own}::text ilike ${conditions.bind(`%${pattern(value)}%`)}`);
  else if (operator === 'startsWith') conditions.add(`${own}::text ilike ${conditions.bind(`${pattern(value)}%`)}`);
  else conditions.add(`${own} ${SYMBOLS[operator]} ${conditions.bind(value)}`);
}

function addSearch(conditions: Conditions, { columns, cqrsId }: BrowsableTable, search: string): void {
  const searched = columns.filter((column) => column.searched);
  if (searched.length === 0) throw new ApiProblem('bad-request', `'${cqrsId}' has no column that can be searched.`);
  const sought = `${conditions.bind(pattern(search))}::text`;
  conditions.add(
    searched
      .map(({ field, type }) => `t."${field}"::text ilike ${type === 'text' ? `'%' || ${sought}` : sought} || '%'`)
      .join(' or '),
  );
}

/** The text itself, where LIKE would read signs of its own. */
function pattern(text: string | string[]): string {
  return String(text).replaceAll(/[\\%_]/g, String.raw`\$&`);
}
