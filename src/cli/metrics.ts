import { toError } from '../kernel/describe-error.js';
import type { Cqrs } from '../cqrs.js';
import type * as scrape from '../observability/scrape.js';
import type { MetricsText } from './health-server.js';

type Scraping = typeof scrape;

/** The metrics of this process, as text for a scrape and as JSON for the supervisor; empty without prom-client. */
export async function measure(
  cqrs: Cqrs,
): Promise<{ readonly metrics: MetricsText; readonly json: () => Promise<readonly object[]> }> {
  const scraping = await load();
  if (!scraping) return { metrics: async () => undefined, json: async () => [] };
  const own = scraping.startScrape(cqrs);
  return {
    metrics: async () => ({ text: await own.text(), contentType: scraping.CONTENT_TYPE }),
    json: () => own.json(),
  };
}

/** Those of all workers in one. */
export async function mergeMetrics(workers: readonly (readonly object[])[]): ReturnType<MetricsText> {
  const scraping = await load();
  return scraping && { text: await scraping.mergeScrapes(workers), contentType: scraping.CONTENT_TYPE };
}

async function load(): Promise<Scraping | undefined> {
  try {
    return await import('../observability/scrape.js');
  } catch (error) {
    const { code, message } = toError(error) as NodeJS.ErrnoException;
    if (code === 'ERR_MODULE_NOT_FOUND' && message.includes('prom-client')) return undefined;
    throw error;
  }
}
