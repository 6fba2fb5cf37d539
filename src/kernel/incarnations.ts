/**
 * Incarnations are microseconds since 1970, and so far ahead of the database's clock at the most: the relay keeps their
 * sequence ahead, so that numbers grow though the clock goes back.
 */
export const INCARNATION_LEAD = 2_000_000;

/** The year 2200. What is beyond comes from a clock that is wrong, and must not become the least of all that follow. */
export const MOST_INCARNATION = Date.UTC(2200, 0) * 1_000;
