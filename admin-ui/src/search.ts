import type { Condition, Operator, Sort } from '../../src/admin/contract.ts';

/** What an address says after its `?`. Whatever somebody typed there, pages get only what they understand. */

export interface OverviewSearch {
  readonly minutes?: number;
}
export interface ListingSearch {
  readonly search?: string;
  readonly filters?: Condition[];
  readonly sort?: Sort;
  readonly after?: string;
  readonly before?: string;
  /** The row in the drawer. */
  readonly row?: string;
}
export interface RowsSearch extends ListingSearch {
  /** The job that is shown above the table. */
  readonly job?: string;
}
export interface ReplicasSearch {
  readonly cqrsId?: string;
  /** The reconcile whose differences are shown. */
  readonly job?: string;
  readonly row?: string;
}
export interface DeadLettersSearch {
  readonly group?: string;
  readonly offset?: number;
  readonly letter?: string;
  readonly job?: string;
}
export interface JobsSearch {
  readonly kind?: string;
  readonly job?: string;
}

type Raw = Record<string, unknown>;

export const WINDOWS = [15, 60, 360, 1_440, 10_080] as const;

export const parseOverviewSearch = ({ minutes }: Raw): OverviewSearch =>
  WINDOWS.some((one) => one === minutes) ? { minutes: minutes as number } : {};

export const parseRowsSearch = (raw: Raw): RowsSearch => ({ ...parseListingSearch(raw), ...texts(raw, ['job']) });

export function parseListingSearch(raw: Raw): ListingSearch {
  const filters = Array.isArray(raw['filters']) ? raw['filters'].filter(isCondition) : [];
  return {
    ...texts(raw, ['search', 'after', 'before', 'row']),
    ...(filters.length > 0 && { filters }),
    ...(isSort(raw['sort']) && { sort: raw['sort'] }),
  };
}

export const parseReplicasSearch = (raw: Raw): ReplicasSearch => texts(raw, ['cqrsId', 'job', 'row']);

export const parseDeadLettersSearch = (raw: Raw): DeadLettersSearch => ({
  ...texts(raw, ['group', 'letter', 'job']),
  ...(typeof raw['offset'] === 'number' && raw['offset'] > 0 && { offset: Math.floor(raw['offset']) }),
});

export const parseJobsSearch = (raw: Raw): JobsSearch => texts(raw, ['kind', 'job']);

/** A key that looks like a number arrives as one. */
function texts<K extends string>(raw: Raw, names: readonly K[]): { [N in K]?: string } {
  const found: { [N in K]?: string } = {};
  for (const name of names) {
    const value = raw[name];
    if (typeof value === 'string' && value !== '') found[name] = value;
    else if (typeof value === 'number' || typeof value === 'boolean') found[name] = String(value);
    else if (Array.isArray(value)) found[name] = JSON.stringify(value);
  }
  return found;
}

const OPERATORS: Record<Operator, true> = {
  eq: true,
  ne: true,
  gt: true,
  gte: true,
  lt: true,
  lte: true,
  contains: true,
  startsWith: true,
  in: true,
  empty: true,
  notEmpty: true,
};

function isCondition(value: unknown): value is Condition {
  const { column, operator, value: operand } = (value ?? {}) as Raw;
  return (
    typeof column === 'string' &&
    typeof operator === 'string' &&
    operator in OPERATORS &&
    (operand === undefined ||
      typeof operand === 'string' ||
      (Array.isArray(operand) && operand.every((one) => typeof one === 'string')))
  );
}

function isSort(value: unknown): value is Sort {
  const { column, direction } = (value ?? {}) as Raw;
  return typeof column === 'string' && (direction === 'asc' || direction === 'desc');
}
