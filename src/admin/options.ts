import { ConfigurationError, type Problem } from '../kernel/errors.js';
import { didYouMean } from '../kernel/nearest-name.js';
import type { AdjustSyncQuery } from '../kernel/settings.js';
import type { Cqrs } from '../cqrs.js';
import type { Role } from './contract.js';

/** Who is asking, and what they may do. */
export interface AdminUser {
  /** As it stands in the audit; a name or an id, no secret. */
  readonly user: string;
  readonly role: Role;
}

/**
 * Says who is asking; null = nobody who may see anything. `native` is whatever the handler was given beside the request:
 * under node:http, Express, Fastify and NestJS the framework's own request, with its session.
 */
export type Authorize<Native = unknown> = (
  request: Request,
  native: Native,
) => AdminUser | null | undefined | Promise<AdminUser | null | undefined>;

export interface AdminOptions<Native = unknown> {
  readonly authorize: Authorize<Native>;
  /** Where the pages live, e.g. `/admin/cqrs`; default `/`. */
  readonly basePath?: string;
  /** True: nobody may do anything but look. Default false. */
  readonly readOnly?: boolean;
  /** By `CQRS_ID` of a master; goes before the setting of the same name, which `cqrs admin` knows as well. */
  readonly adjustSyncQuery?: Readonly<Record<string, AdjustSyncQuery>>;
  /**
   * Origins that the page is reached by, where a proxy tells this process another host, e.g. `https://admin.example.com`;
   * actions from others are refused. Default: the host of the request.
   */
  readonly origins?: readonly string[];
}

export interface CheckedOptions<Native> extends Required<AdminOptions<Native>> {
  /** Without a slash at its end; empty for `/`. */
  readonly basePath: string;
}

const KNOWN = ['authorize', 'basePath', 'readOnly', 'adjustSyncQuery', 'origins'];

/** @throws ConfigurationError listing every option that is wrong. */
export function checkOptions<Native>(cqrs: Cqrs, options: AdminOptions<Native>): CheckedOptions<Native> {
  const problems: Problem[] = [];
  const complain = (where: string, what: string, cure: string): void =>
    void problems.push({ where: `createAdmin: ${where}`, what, cure });
  const { authorize, basePath = '/', readOnly = false, origins = [] } = options;
  const adjustSyncQuery = { ...cqrs.settings.admin.adjustSyncQuery, ...options.adjustSyncQuery };
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) complain(key, `unknown option '${key}'.${didYouMean(key, KNOWN)}`, 'See docs/admin.md.');
  }
  if (typeof authorize !== 'function') {
    complain(
      'authorize',
      'it is missing.',
      'Pass (request) => ({ user, role }), or null for those who may see nothing.',
    );
  }
  if (!/^\/([\w.~-]+\/)*([\w.~-]+)?$/.test(basePath)) {
    complain('basePath', `'${basePath}' is no path.`, "Begin it with a slash: '/admin/cqrs'.");
  }
  for (const [cqrsId, adjust] of Object.entries(adjustSyncQuery)) {
    if (typeof adjust !== 'function')
      complain('adjustSyncQuery', `that of '${cqrsId}' is no function.`, 'Pass (query, request) => query.');
    if (!cqrs.masters.find(cqrsId)) {
      complain(
        'adjustSyncQuery',
        `there is no master '${cqrsId}'.${didYouMean(cqrsId, cqrs.masters.ids)}`,
        'Name it by its CQRS_ID.',
      );
    }
  }
  for (const origin of origins) {
    if (URL.parse(origin)?.origin !== origin)
      complain('origins', `'${origin}' is no origin.`, 'Write it as https://admin.example.com.');
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return { authorize, basePath: basePath.replace(/\/$/, ''), readOnly, adjustSyncQuery, origins };
}
