import type { Health } from './verdict.js';

/**
 * Answers `GET …/healthz` and `GET …/readyz` with a verdict as JSON, for any server that speaks the Web's `Request` and
 * `Response`: `healthHandler(() => cqrs.health())`.
 *
 * Whatever else the verdict holds is told along. `/healthz` is 503 when starting the process again would help; `/readyz` also while it is degraded. Neither waits for
 * anything that may be away.
 */
export function healthHandler(health: () => Health): (request: Request) => Promise<Response> {
  return async (request) => {
    const path = new URL(request.url).pathname;
    const probe = /\/(healthz|readyz)\/?$/.exec(path)?.[1];
    if (probe === undefined) return answer(request, 404, { error: 'There are /healthz and /readyz.' });
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answer(request, 405, { error: 'Only GET and HEAD.' }, { allow: 'GET, HEAD' });
    }
    const report = health();
    const well = probe === 'healthz' ? report.state !== 'dead' : report.state === 'healthy';
    return answer(request, well ? 200 : 503, report);
  };
}

function answer(request: Request, status: number, body: object, headers: Record<string, string> = {}): Response {
  const text = request.method === 'HEAD' ? null : `${JSON.stringify(body, null, 2)}\n`;
  return new Response(text, {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
  });
}
