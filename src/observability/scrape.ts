import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client';
import { type Measured, registerMetrics } from './metrics.js';

/** The metrics of one process, for a scrape or for the process that answers it. */
export interface Scrape extends Disposable {
  text(): Promise<string>;
  json(): Promise<readonly object[]>;
}

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Measures a `Cqrs` and the process around it, in a register of its own. */
export function startScrape(cqrs: Measured): Scrape {
  const register = new Registry();
  const metrics = registerMetrics(cqrs, { register });
  collectDefaultMetrics({ register });
  return {
    text: () => register.metrics(),
    json: () => register.getMetricsAsJSON(),
    [Symbol.dispose]: () => metrics[Symbol.dispose](),
  };
}

/** The metrics of several processes as those of one: counters and histograms are added, of gauges the greatest counts. */
export function mergeScrapes(processes: readonly (readonly object[])[]): Promise<string> {
  return AggregatorRegistry.aggregate([...processes] as object[]).metrics();
}
