import type { Column, Condition, Operator } from '../../../../src/admin/contract.ts';

export const OPERATOR_WORDS: Readonly<Record<Operator, string>> = {
  eq: 'is',
  ne: 'is not',
  gt: 'is greater than',
  gte: 'is at least',
  lt: 'is less than',
  lte: 'is at most',
  contains: 'contains',
  startsWith: 'starts with',
  in: 'is one of',
  empty: 'is empty',
  notEmpty: 'is not empty',
};

export const needsValue = (operator: Operator): boolean => operator !== 'empty' && operator !== 'notEmpty';

export function conditionInWords({ column, operator, value }: Condition): string {
  const operand = Array.isArray(value) ? value.join(', ') : value;
  return [column, OPERATOR_WORDS[operator], needsValue(operator) ? operand : undefined]
    .filter((one) => one !== undefined)
    .join(' ');
}

/** From what was typed. */
export function makeCondition(column: string, operator: Operator, typed: string): Condition {
  if (!needsValue(operator)) return { column, operator };
  if (operator !== 'in') return { column, operator, value: typed };
  return {
    column,
    operator,
    value: typed
      .split(',')
      .map((one) => one.trim())
      .filter(Boolean),
  };
}

/** The kind of box that a value of the column is typed into. */
export function inputType({ type }: Column, operator: Operator): 'text' | 'number' | 'date' {
  if (operator === 'in' || operator === 'contains' || operator === 'startsWith') return 'text';
  return type === 'number' ? 'number' : type === 'date' ? 'date' : 'text';
}

export function placeholder({ type }: Column, operator: Operator): string {
  if (operator === 'in') return 'one, two, three';
  return type === 'datetime' ? '2026-01-31 12:00' : type === 'uuid' ? 'the whole id' : 'value';
}

/** What a column may be chosen from; null: it is typed. */
export function choices({ type, values }: Column, operator: Operator): readonly string[] | null {
  if (operator === 'in') return null;
  return type === 'boolean' ? ['true', 'false'] : (values ?? null);
}
