import { randomBytes, timingSafeEqual } from 'node:crypto';
import { answer, problemAnswer, wordsAnswer } from './answer.js';
import { ApiProblem } from './api-problem.js';
import type { Admin } from '../admin.js';

/**
 * Lets in whoever can read what is printed on the terminal:
 *
 *   URL with a token ──opened once──▶ cookie, that scripts of pages cannot read and other sites cannot send ──▶ the page
 *
 * A token is good for one exchange; then there is a new one. Requests that name another host than the one that is served
 * are refused: a foreign name that has been made to point here must not get in.
 */
export class TokenGate {
  readonly #session = secret();
  #token = secret();

  constructor(
    private readonly parts: {
      /** Says where the page is now to be opened. */
      readonly onToken: (path: string) => void;
      /** Hosts with ports, e.g. `127.0.0.1:8790`. */
      readonly hosts: () => readonly string[];
      readonly cookie: () => string;
    },
  ) {}

  /** Path and query that let one browser in. */
  get path(): string {
    return `/?token=${this.#token}`;
  }

  /** Whether a request comes from a browser that was let in. */
  knows(request: Request): boolean {
    const cookies = (request.headers.get('cookie') ?? '').split(/;\s*/);
    const prefix = `${this.parts.cookie()}=`;
    return cookies.some((cookie) => cookie.startsWith(prefix) && same(cookie.slice(prefix.length), this.#session));
  }

  /** Exchanges a token, or passes the request on. */
  async handle(request: Request, admin: Admin, native: unknown): Promise<Response> {
    const url = new URL(request.url);
    if (!this.parts.hosts().includes(url.host)) {
      return problemAnswer(new ApiProblem('forbidden', 'This host name is not served here.'));
    }
    const token = url.searchParams.get('token');
    if (token !== null && request.method === 'GET' && !url.pathname.startsWith('/api/')) {
      if (!same(token, this.#token)) return this.#refused('This token has been used already, or was never one.');
      this.#token = secret();
      this.parts.onToken(this.path);
      url.searchParams.delete('token');
      return answer(303, null, {
        location: `${url.pathname}${url.search}`,
        'set-cookie': `${this.parts.cookie()}=${this.#session}; Path=/; HttpOnly; SameSite=Strict`,
      });
    }
    const response = await admin(request, native);
    const isPage = response.status === 401 && response.headers.get('content-type')?.startsWith('text/html');
    return isPage ? this.#refused('Open the address that the command has printed last.') : response;
  }

  #refused(words: string): Response {
    const form = '<form><label>Token <input name="token" autocomplete="off"></label> <button>Sign in</button></form>';
    return wordsAnswer(401, 'You are not signed in', `<p>${words}</p>${form}`);
  }
}

function secret(): string {
  return randomBytes(24).toString('base64url');
}

function same(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}
