const DEADLINE_MS = 20_000;
const LOOK_AGAIN_MS = 25;

/** Looks until what it sees is as wanted, at most for the deadline, and answers with the last it saw. */
export async function eventually<T>(look: () => Promise<T> | T, wanted: (seen: T) => boolean): Promise<T> {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const seen = await look();
    if (wanted(seen) || performance.now() > end) return seen;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}
