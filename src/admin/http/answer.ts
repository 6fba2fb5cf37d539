import type { ApiProblem } from './api-problem.js';

/** Every answer carries these: no other site may frame it, run in it, or learn from it. */
const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

/** An answer with our headers, which the given ones cannot take away. */
export function answer(
  status: number,
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null,
  headers: Readonly<Record<string, string>>,
): Response {
  return new Response(body, { status, headers: { 'cache-control': 'no-store', ...headers, ...SECURITY } });
}

export function jsonAnswer(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return answer(status, JSON.stringify(body), { 'content-type': 'application/json; charset=utf-8', ...headers });
}

export function problemAnswer(problem: ApiProblem): Response {
  return jsonAnswer(problem.status, problem.body, problem.more.headers);
}

/** A page of a few words, for browsers that came to a place where the page itself is not shown. */
export function wordsAnswer(status: number, title: string, html: string): Response {
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title></head><body><main><h1>${title}</h1>${html}</main></body></html>`;
  return answer(status, page, { 'content-type': 'text/html; charset=utf-8' });
}
