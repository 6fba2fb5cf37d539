import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Admin } from './admin.js';

/** A request of node:http, or of a framework on it that has read the body already. */
export type NodeRequest = IncomingMessage & { readonly body?: unknown; readonly originalUrl?: string };

/**
 * The admin page for node:http, and for all that is made of its requests: Express, Fastify, NestJS. `authorize` is given
 * that request, with what the framework has put into it, as its second argument.
 */
export function toNodeHandler<Native extends IncomingMessage = NodeRequest>(
  admin: Admin<Native>,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    respond(admin as Admin, request, response).catch(() => {
      // The other end is gone, or the request was none: there is nobody to tell.
      if (!response.headersSent && !response.destroyed) response.writeHead(400);
      response.destroy();
    });
  };
}

async function respond(admin: Admin, incoming: NodeRequest, outgoing: ServerResponse): Promise<void> {
  const gone = new AbortController();
  outgoing.once('close', () => gone.abort());
  const { status, headers, body } = await admin(toRequest(incoming, gone.signal), incoming);
  outgoing.writeHead(status, Object.fromEntries(headers));
  if (body === null || incoming.method === 'HEAD') {
    await body?.cancel();
    outgoing.end();
    return;
  }
  outgoing.flushHeaders();
  await pipeline(Readable.fromWeb(body as never), outgoing);
}

function toRequest(incoming: NodeRequest, signal: AbortSignal): Request {
  const { method = 'GET', headers } = incoming;
  const encrypted = (incoming.socket as { readonly encrypted?: boolean }).encrypted === true;
  // Where it is mounted below a path, Express keeps the whole one here.
  const path = incoming.originalUrl ?? incoming.url ?? '/';
  const url = new URL(path.startsWith('/') ? `http://host${path}` : path);
  url.protocol = encrypted ? 'https:' : 'http:';
  url.host = headers.host ?? 'localhost';
  const list = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    name.startsWith(':') || value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
  );
  const bare = method === 'GET' || method === 'HEAD';
  return new Request(url, {
    method,
    headers: list,
    signal,
    ...(bare ? {} : { body: bodyOf(incoming), duplex: 'half' }),
  } as RequestInit);
}

// A body parser of the framework has been quicker, and has left what it read.
function bodyOf(incoming: NodeRequest): ReadableStream | string {
  if (incoming.readableEnded && incoming.body !== undefined) return JSON.stringify(incoming.body);
  return Readable.toWeb(incoming) as unknown as ReadableStream;
}
