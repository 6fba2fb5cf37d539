import type { ApiError } from '../contract.js';

type Code = ApiError['error']['code'];

const STATUS: Readonly<Record<Code, number>> = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'too-many-requests': 429,
  internal: 500,
  unavailable: 503,
  timeout: 504,
};

/** A request that is answered with an error. Its words name ids, columns and counts, never a value of a row. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';

  constructor(
    readonly code: Code,
    message: string,
    readonly more: {
      readonly cure?: string;
      readonly details?: Record<string, unknown>;
      readonly headers?: Record<string, string>;
    } = {},
  ) {
    super(message);
  }

  get status(): number {
    return STATUS[this.code];
  }

  get body(): ApiError {
    const { cure, details } = this.more;
    return {
      error: { code: this.code, message: this.message, ...(cure ? { cure } : {}), ...(details ? { details } : {}) },
    };
  }
}
