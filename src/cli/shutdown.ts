const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Aborted, with the signal's name as its reason, by the first SIGTERM or SIGINT: finish what is in hand and end. The second one calls `atOnce` and ends the
 * process there and then, with 128 + the signal's number as shells expect it.
 */
export function onShutdown(atOnce: () => void = () => {}): AbortSignal {
  const stopping = new AbortController();
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      if (!stopping.signal.aborted) return stopping.abort(name);
      atOnce();
      process.exit(128 + number);
    });
  }
  return stopping.signal;
}

/** A signal came before the end. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';

  /** @param left what has become of the work, and how to go on. */
  constructor(left: string) {
    super(`stopped before the end; ${left}`);
  }
}

/** Something went wrong after a part of the work was done. */
export class CutShortError extends Error {
  override readonly name = 'CutShortError';

  /** @param done a sentence: what has been done, and how to go on. */
  constructor(
    override readonly cause: unknown,
    readonly done: string,
  ) {
    super(done);
  }
}

/** Resolves with the reason when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const done = (): void => resolve(String(signal.reason));
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
}
