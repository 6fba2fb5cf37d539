/** The promise, or an error that says what took too long. */
export async function within<T>(milliseconds: number, doing: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${doing}: not within ${milliseconds} ms`)), milliseconds);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until the answer is yes; answers whether it ever was. */
export async function eventually(milliseconds: number, ask: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = performance.now() + milliseconds; performance.now() < deadline;) {
    if (await ask()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
