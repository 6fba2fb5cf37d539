import type { Answer, ApiError, Body, EndpointName, Endpoints, Query } from '../../../src/admin/contract.ts';

/** Where each endpoint is; the compiler holds it against the contract. Named here, so that its schemas stay on the server. */
const endpoints: { readonly [N in EndpointName]: readonly [Endpoints[N]['method'], Endpoints[N]['path']] } = {
  service: ['GET', 'service'],
  overview: ['GET', 'overview'],
  history: ['GET', 'history'],
  rows: ['POST', 'masters/{cqrsId}/rows'],
  countRows: ['POST', 'masters/{cqrsId}/count'],
  row: ['POST', 'masters/{cqrsId}/row'],
  sync: ['POST', 'masters/{cqrsId}/sync'],
  jobs: ['GET', 'jobs'],
  job: ['GET', 'jobs/{id}'],
  cancelJob: ['POST', 'jobs/{id}/cancel'],
  differences: ['GET', 'jobs/{id}/differences'],
  repair: ['POST', 'jobs/{id}/repair'],
  replicas: ['GET', 'replicas'],
  replicaRows: ['POST', 'replicas/{cqrsId}/rows'],
  countReplicaRows: ['POST', 'replicas/{cqrsId}/count'],
  replicaRow: ['POST', 'replicas/{cqrsId}/row'],
  reconcile: ['POST', 'masters/{cqrsId}/reconcile'],
  deadLetters: ['GET', 'dead-letters'],
  letters: ['POST', 'dead-letters/list'],
  letter: ['GET', 'dead-letters/{id}'],
  dryRunLetters: ['POST', 'dead-letters/dry-run'],
  retryLetters: ['POST', 'dead-letters/retry'],
  purgeLetters: ['POST', 'dead-letters/purge'],
  outbox: ['GET', 'outbox'],
  resolveRefused: ['POST', 'outbox/refused'],
  processes: ['GET', 'processes'],
  events: ['GET', 'events'],
};

type Code = ApiError['error']['code'] | 'unreachable';

/** A request that was not answered as hoped: what happened, and what to do about it. */
export class RequestFailed extends Error {
  override readonly name = 'RequestFailed';
  constructor(
    readonly code: Code,
    message: string,
    readonly cure: string | null,
  ) {
    super(message);
  }
}

/** Whatever went wrong, as something to show. */
export function failureOf(error: unknown): RequestFailed {
  if (error instanceof RequestFailed) return error;
  return new RequestFailed('internal', error instanceof Error ? error.message : String(error), null);
}

export interface CallOptions<N extends EndpointName> {
  /** The parameters in braces. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Query<N>;
  readonly body?: Body<N>;
  readonly signal?: AbortSignal | undefined;
}

/** Asks the service. @throws RequestFailed */
export async function call<N extends EndpointName>(name: N, options: CallOptions<N> = {}): Promise<Answer<N>> {
  const [method, template] = endpoints[name];
  const path = template.replaceAll(/\{(\w+)\}/g, (_, parameter: string) =>
    encodeURIComponent(options.path?.[parameter] ?? ''),
  );
  const url = apiUrl(path);
  for (const [key, value] of Object.entries((options.query ?? {}) as Record<string, string | number | undefined>)) {
    if (value !== undefined) url.searchParams.set(key, String(value));
  }
  const response = await fetch(url, {
    method,
    ...(options.signal && { signal: options.signal }),
    ...(method === 'POST' && {
      headers: { 'content-type': 'application/json', 'x-cqrs-admin': '1' },
      body: JSON.stringify(options.body ?? {}),
    }),
  }).catch((error: unknown) => {
    if (options.signal?.aborted) throw error;
    throw new RequestFailed(
      'unreachable',
      'The service does not answer.',
      'It may be restarting, or the network is away. The page tries again by itself.',
    );
  });
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as Answer<N>;
}

export function apiUrl(path: string): URL {
  return new URL(`api/${path}`, document.baseURI.replace(/#.*$/, ''));
}

async function refusal(response: Response): Promise<RequestFailed> {
  try {
    const { error } = (await response.json()) as ApiError;
    return new RequestFailed(error.code, error.message, error.cure ?? null);
  } catch {
    return new RequestFailed('internal', `The service answered ${response.status} ${response.statusText}.`, null);
  }
}
