import { toError } from '../kernel/describe-error.js';
import { faultOf } from '../messaging/inbox/faults.js';
import type { Cqrs } from '../cqrs.js';
import { assertMay, assertMeant } from './http/access.js';
import { answer, jsonAnswer, problemAnswer, wordsAnswer } from './http/answer.js';
import { ApiProblem } from './http/api-problem.js';
import type { AdminParts, Call, Handle } from './http/call.js';
import { BrokerLook } from './overview/broker-state.js';
import { type EndpointName, type JobDetail, type Role, SyncRequest } from './contract.js';
import { JobRunner } from './jobs/job-runner.js';
import { jobTable } from './jobs/job-store.js';
import { jobDetail } from './jobs/job-view.js';
import { LetterBox } from './dead-letters/letters.js';
import { type AdminOptions, type AdminUser, checkOptions, type CheckedOptions } from './options.js';
import { LiveFeed } from './overview/live.js';
import { openApi } from './http/openapi.js';
import { OverviewLook } from './overview/overview.js';
import { Pages } from './http/pages.js';
import { RateLimit } from './http/rate-limit.js';
import { ReplicaMeasures } from './overview/replica-measures.js';
import { checkInput, findRoute, readJson } from './http/router.js';
import { writeKeyText } from './rows/row-key.js';
import { routes } from './http/routes.js';
import { startSync } from './jobs/sync-job.js';
import { BrowsableTables } from './rows/tables.js';

type KeyPart = string | number | bigint;
/** The key of a row; a list for a composite key. */
export type ItemKey = KeyPart | readonly KeyPart[];

/** The admin page of one service: a handler of web requests, and what user code may call beside it. */
export interface Admin<Native = unknown> {
  /** Answers every request below the base path; never rejects. `native` is passed on to `authorize`. */
  (request: Request, native?: Native): Promise<Response>;
  /**
   * What the page's "Synchronize selected" does, for code of one's own: sends the present state of chosen rows, and
   * resolves when the job has ended, with counts and every row that did not go. Whoever `authorize` names for the request
   * must be an operator.
   * @param keys as they travel: `7`, `'b1c…'`, `[7, 'b']`.
   * @param options.queue the one replica that is to get them; default: all.
   * @throws ApiProblem saying why it is refused.
   */
  syncItems(
    request: Request,
    cqrsId: string,
    keys: readonly ItemKey[],
    options?: { readonly queue?: string; readonly native?: Native },
  ): Promise<JobDetail>;
  /** How many pages listen to live events at this moment. */
  readonly openPages: number;
  /** Interrupts the jobs that run here, ends live streams, and resolves when all is written. */
  stop(): Promise<void>;
}

/**
 * Makes the admin page of a service. Nobody has access but those whom `authorize` names; call it once
 * MikroORM is initialized. A process that serves it need not relay or consume.
 *
 *   request ─▶ authorize ─▶ page, or api/… ─▶ meant by the page? ─▶ role ─▶ rate ─▶ schema ─▶ routes
 *
 * @throws ConfigurationError listing every option that is wrong.
 */
export function createAdmin<Native = unknown>(cqrs: Cqrs, options: AdminOptions<Native>): Admin<Native> {
  const server = new AdminServer(cqrs, checkOptions(cqrs, options));
  const handle = (request: Request, native?: Native): Promise<Response> => server.handle(request, native as Native);
  const methods = { syncItems: server.syncItems.bind(server), stop: server.stop.bind(server) };
  return Object.defineProperty(Object.assign(handle, methods), 'openPages', {
    get: () => server.openPages,
  }) as Admin<Native>;
}

class AdminServer<Native> {
  readonly #parts: AdminParts;
  readonly #pages: Pages;
  readonly #limit: RateLimit;
  readonly #live: LiveFeed;

  constructor(
    private readonly cqrs: Cqrs,
    private readonly options: CheckedOptions<Native>,
  ) {
    const { admin } = cqrs.settings;
    const tables = new BrowsableTables(cqrs);
    this.#parts = {
      cqrs,
      options: options as CheckedOptions<never>,
      tables,
      overview: new OverviewLook(cqrs, new BrokerLook(cqrs)),
      measures: new ReplicaMeasures({ cqrs, tables }),
      letters: new LetterBox(cqrs),
      jobs: new JobRunner({ table: jobTable(cqrs), events: cqrs.events, retentionSeconds: admin.jobRetentionSeconds }),
    };
    this.#live = new LiveFeed(this.#parts);
    this.#pages = new Pages(options.basePath);
    this.#limit = new RateLimit(admin.actionsPerMinute);
  }

  async handle(request: Request, native: Native): Promise<Response> {
    const steps = stepsBelow(this.options.basePath, request.url);
    if (steps === undefined) return problemAnswer(new ApiProblem('not-found', 'There is nothing here.'));
    if (steps === null)
      return answer(308, null, { location: `${this.options.basePath}/${new URL(request.url).search}` });
    const isApi = steps[0] === 'api';
    try {
      const user = await this.#recognise(request, native);
      if (isApi) return await this.#api(request, steps.slice(1), user);
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        throw new ApiProblem('bad-request', `Pages are not for ${request.method}.`, {
          headers: { allow: 'GET, HEAD' },
        });
      }
      return this.#pages.serve(steps.join('/'));
    } catch (error) {
      const problem = this.#problemOf(error, isApi ? 'api' : 'pages');
      if (!isApi && problem.code === 'unauthorized') {
        return wordsAnswer(
          401,
          'You are not signed in',
          '<p>You need access to this service to see its admin page.</p>',
        );
      }
      return problemAnswer(problem);
    }
  }

  async syncItems(
    request: Request,
    cqrsId: string,
    keys: readonly ItemKey[],
    { queue, native }: { readonly queue?: string; readonly native?: Native } = {},
  ): Promise<JobDetail> {
    const user = await this.#recognise(request, native as Native);
    this.#admit('operator', user);
    const texts = keys.map((key) => (Array.isArray(key) ? writeKeyText(key.map(String)) : String(key)));
    const wanted = checkInput(SyncRequest, { queue: queue ?? null, selection: { keys: texts } }, 'body');
    const { id, ended } = await startSync(this.#parts, { cqrsId, wanted: wanted as never, user, request });
    await ended;
    return jobDetail(this.#parts, id);
  }

  get openPages(): number {
    return this.#live.size;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#live.stop(), this.#parts.jobs.stop()]);
  }

  async #recognise(request: Request, native: Native): Promise<AdminUser> {
    const user = await this.options.authorize(request, native);
    const known = user && typeof user.user === 'string' && (user.role === 'read-only' || user.role === 'operator');
    if (known) return user;
    this.cqrs.events.emit('cqrs.admin.refused', { user: null, reason: 'authorize names no user' });
    throw new ApiProblem('unauthorized', 'You are not signed in.', { cure: 'Sign in, then try again.' });
  }

  async #api(request: Request, steps: readonly string[], user: AdminUser): Promise<Response> {
    if (request.method === 'GET' && steps.length === 1) {
      if (steps[0] === 'live') return this.#live.open(request.signal);
      if (steps[0] === 'openapi.json') return jsonAnswer(200, openApi(this.options.basePath));
    }
    const { name, endpoint, params } = findRoute(request.method, steps);
    this.#admit(endpoint.role, user, endpoint.method === 'GET' ? undefined : request);
    const query = checkInput(endpoint.query, Object.fromEntries(new URL(request.url).searchParams), 'query');
    const body = endpoint.body ? checkInput(endpoint.body, await readJson(request), 'body') : undefined;
    const handle = routes[name] as Handle<EndpointName>;
    const call = { params, query, body, request, user } as Call<EndpointName>;
    return jsonAnswer(200, await handle(this.#parts, call));
  }

  /** Whether this user may do that now, and has meant it if it comes as a request. */
  #admit(role: Role, { user, role: own }: AdminUser, request?: Request): void {
    try {
      if (request) assertMeant(request, this.options.origins);
      assertMay(role, own, this.options.readOnly);
      if (role === 'operator') this.#limit.take(user);
    } catch (error) {
      if (error instanceof ApiProblem) this.cqrs.events.emit('cqrs.admin.refused', { user, reason: error.message });
      throw error;
    }
  }

  #problemOf(error: unknown, endpoint: string): ApiProblem {
    if (error instanceof ApiProblem) return error;
    this.cqrs.events.emit('cqrs.admin.failed', { endpoint, error: toError(error) });
    if (faultOf(error) === 'unavailable') {
      return new ApiProblem('unavailable', 'The database or the broker does not answer.', {
        cure: 'Try again in a moment; the log says more.',
      });
    }
    return new ApiProblem('internal', 'The request could not be answered.', { cure: 'The log says why.' });
  }
}

/** The steps of the path below the base path, decoded; null for the base path without its slash, undefined elsewhere. */
function stepsBelow(basePath: string, url: string): string[] | null | undefined {
  const { pathname } = new URL(url);
  if (pathname === basePath) return null;
  if (!pathname.startsWith(`${basePath}/`)) return undefined;
  try {
    return pathname
      .slice(basePath.length + 1)
      .split('/')
      .map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
