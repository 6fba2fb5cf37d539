import { randomBytes } from 'node:crypto';

/**
 * Ends every captured statement: whatever writes a master's table without it was not seen by capture. No comment of a
 * user's is the same, for each process draws its own.
 */
export const CAPTURED = `/* cqrs ${randomBytes(6).toString('hex')} */`;

/**
 * Adds our columns to a statement's RETURNING, and afterwards makes the result look as if they had never been there.
 * The SQL holds placeholders only, and RETURNING is its last clause.
 */
export class Returning {
  #hadReturning = false;

  constructor(private readonly columns: string) {}

  apply(sql: string): string {
    this.#hadReturning = /\sreturning\s(?!.*\sreturning\s)/s.test(sql);
    return `${sql}${this.#hadReturning ? ',' : ' returning'} ${this.columns} ${CAPTURED}`;
  }

  /** Our columns have been taken out of the rows; a statement that returned nothing returns nothing again. */
  restore(result: { rows?: object[]; row?: object }): void {
    if (this.#hadReturning) return;
    result.rows = [];
    result.row = undefined;
  }
}
