import { expect } from '@jest/globals';
import type { Admin } from '../../src/admin/admin.js';
import {
  ACTION_HEADER,
  type Answer,
  type ApiError,
  type Body,
  type Endpoint,
  type EndpointName,
  endpoints,
  type Query,
} from '../../src/admin/contract.js';

export const ORIGIN = 'http://admin.test';

/** Asks as the page does, and holds every answer against the contract. */
export class AdminClient {
  constructor(
    private readonly admin: Admin,
    readonly base = '',
    private readonly headers: Readonly<Record<string, string>> = { authorization: 'operator ada' },
  ) {}

  as(who: string): AdminClient {
    return new AdminClient(this.admin, this.base, { authorization: who });
  }

  /** The answer of an endpoint; throws when it is an error. */
  async ask<N extends EndpointName>(
    name: N,
    options: { params?: Record<string, string>; body?: Body<N>; query?: Query<N> } = {},
  ): Promise<Answer<N>> {
    const response = await this.send(name, options);
    const json: unknown = await response.json();
    if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(json)}`);
    // Nothing that the contract does not know, and everything that it does.
    expect(endpoints[name].response.parse(json)).toEqual(json);
    return json as Answer<N>;
  }

  /** The error of an endpoint, with its status. */
  async refused<N extends EndpointName>(
    name: N,
    options: { params?: Record<string, string>; body?: unknown; query?: unknown } = {},
  ): Promise<{ status: number } & ApiError['error']> {
    const response = await this.send(name, options);
    const { error } = (await response.json()) as ApiError;
    return { status: response.status, ...error };
  }

  async send(
    name: EndpointName,
    { params = {}, body, query }: { params?: Record<string, string>; body?: unknown; query?: unknown },
  ): Promise<Response> {
    const { method, path }: Endpoint = endpoints[name];
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(params[key]!));
    const search = query === undefined ? '' : `?${new URLSearchParams(query as Record<string, string>)}`;
    return this.raw(`/api/${filled}${search}`, {
      method,
      ...(method === 'POST'
        ? { body: JSON.stringify(body ?? {}), headers: { 'content-type': 'application/json', [ACTION_HEADER]: '1' } }
        : {}),
    });
  }

  raw(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(this.headers);
    for (const [key, value] of Object.entries((init.headers ?? {}) as Record<string, string>)) headers.set(key, value);
    return this.admin(new Request(`${ORIGIN}${this.base}${path}`, { ...init, headers }));
  }
}

/** `authorization: operator ada` → the operator Ada. */
export function byHeader(request: Request): { user: string; role: 'operator' | 'read-only' } | null {
  const [role, user] = (request.headers.get('authorization') ?? '').split(' ');
  return user && (role === 'operator' || role === 'read-only') ? { user, role } : null;
}
