import { ApiProblem } from './api-problem.js';
import { ACTION_HEADER, type Role } from '../contract.js';

/**
 * Whether a request that is no GET was meant by the page, or by a script, and not by some other page that the user has
 * open: it carries a header that no form can send, says that it is JSON, and names no other origin.
 * @throws ApiProblem saying what is missing.
 */
export function assertMeant(request: Request, origins: readonly string[]): void {
  const { headers } = request;
  const refuse = (message: string, cure: string): never => {
    throw new ApiProblem('forbidden', message, { cure });
  };
  if (!headers.has(ACTION_HEADER)) refuse(`The header ${ACTION_HEADER} is missing.`, `Send ${ACTION_HEADER}: 1.`);
  if (!/^application\/json\s*(;|$)/i.test(headers.get('content-type') ?? '')) {
    refuse('The body is not announced as JSON.', 'Send content-type: application/json.');
  }
  const site = headers.get('sec-fetch-site');
  if (site !== null && site !== 'same-origin') refuse('The request comes from another site.', 'Use the page itself.');
  const origin = headers.get('origin');
  // A browser that has said `same-origin` has compared the two itself, and knows more than a server behind a proxy.
  if (origin === null || site === 'same-origin') return;
  const own = origins.length > 0 ? origins.includes(origin) : URL.parse(origin)?.host === new URL(request.url).host;
  if (!own) refuse('The request comes from another origin.', 'Behind a proxy name its origin in `origins`.');
}

/** @throws ApiProblem when the user's role does not suffice. */
export function assertMay(needed: Role, role: Role, readOnly: boolean): void {
  if (needed === 'read-only') return;
  if (readOnly) throw new ApiProblem('forbidden', 'This page is read-only: nobody may act here.');
  if (role !== 'operator')
    throw new ApiProblem('forbidden', 'Only operators may do this.', { cure: 'Ask for the role operator.' });
}
