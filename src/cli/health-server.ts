import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeError } from '../kernel/describe-error.js';
import type { Events } from '../kernel/events.js';
import { healthHandler } from '../activity/health-handler.js';
import type { Health } from '../activity/verdict.js';
import { UsageError, type Options } from './arguments.js';

export const HEALTH_OPTIONS = {
  'health-port': {
    type: 'string',
    value: '<port>',
    help: 'Serve /healthz, /readyz and, with prom-client installed, /metrics on this port; 0 = any that is free.',
  },
} as const satisfies Options;

/** What a scrape gets; undefined when prom-client is not installed. */
export type MetricsText = () => Promise<{ readonly text: string; readonly contentType: string } | undefined>;

/** The port that `--health-port` names, undefined without it. @throws UsageError */
export function healthPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`--health-port must be a port from 0 to 65535, not '${text}'.`);
}

/**
 * Serves the probes on all interfaces, as those who probe come from outside; nothing secret is in the answers.
 * @throws UsageError when the port is taken.
 */
export async function serveHealth(
  port: number,
  parts: { readonly events: Events; readonly health: () => Health; readonly metrics: MetricsText },
): Promise<AsyncDisposable> {
  const probes = healthHandler(parts.health);
  const server = createServer((request, response) => {
    const handle = /^\/metrics\/?(\?|$)/.test(request.url ?? '') ? scrape(parts.metrics) : probes;
    void respond(request, response, handle);
  });
  try {
    server.listen(port);
    await once(server, 'listening');
  } catch (error) {
    throw new UsageError(`--health-port ${port} cannot be used: ${describeError(error)}.`);
  }
  parts.events.emit('cqrs.worker.probes-served', { port: (server.address() as AddressInfo).port });
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function scrape(metrics: MetricsText): () => Promise<Response> {
  return async () => {
    const scraped = await metrics();
    if (!scraped) return new Response('For metrics: npm install prom-client\n', { status: 404 });
    return new Response(scraped.text, { headers: { 'content-type': scraped.contentType } });
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  handle: (request: Request) => Promise<Response>,
): Promise<void> {
  try {
    const { method = 'GET', url = '/' } = request;
    const answer = await handle(new Request(new URL(url, 'http://localhost'), { method }));
    // One answer a connection: a probe must not fail since its idle connection was closed the moment it was used again.
    response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), connection: 'close' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  } catch (error) {
    response.writeHead(500, { 'content-type': 'text/plain' });
    response.end(`${describeError(error)}\n`);
  }
}
