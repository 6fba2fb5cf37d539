import type { Problem } from '../kernel/errors.js';

/**
 * Which form a table of ours has: a number in its comment, which the schema generator and migrations keep like any other
 * part of it. It is raised only by a change that an older or newer release could not work with; columns that are merely
 * added are found by their names.
 */
export function versionComment(version: number): string {
  return `mikro-orm-cqrs: schema ${version}`;
}

const COMMENT = /^mikro-orm-cqrs: schema (\d+)$/;

/** What is wrong with the form of a table that exists; nothing when it is the one that this release works with. */
export function versionProblem(
  where: string,
  table: string,
  { comment, version }: { comment: string | null; version: number },
): Problem[] {
  const found = COMMENT.exec(comment ?? '')?.[1];
  if (found === String(version)) return [];
  if (found === undefined) {
    const what = `its table ${table} does not say which schema version it has.`;
    const mark = `comment on table ${table} is '${versionComment(version)}'`;
    return [{ where, what, cure: `${CURE} A table that was made by hand: ${mark}.` }];
  }
  const versions = `has schema version ${found}, and this release works with version ${version}.`;
  if (Number(found) < version) return [{ where, what: `its table ${table} ${versions}`, cure: CURE }];
  return [
    {
      where,
      what: `its table ${table} ${versions}`,
      cure: 'A newer mikro-orm-cqrs has changed it: upgrade this service, too.',
    },
  ];
}

/** What makes tables and columns that are missing, and leaves all else as it is. */
export const ADD_WHAT_IS_MISSING = 'Run `npx cqrs schema --additive --run`, or create and run a migration.';
const CURE = 'Create a migration, look at it, and run it.';
