import type * as z from 'zod';
import { ApiProblem } from './api-problem.js';
import { type Endpoint, type EndpointName, endpoints } from '../contract.js';

/** The endpoint that a request means. */
export interface Route {
  readonly name: EndpointName;
  readonly endpoint: Endpoint;
  readonly params: Readonly<Record<string, string>>;
}

interface Pattern {
  readonly name: EndpointName;
  readonly endpoint: Endpoint;
  readonly steps: readonly string[];
}

// Those without parameters come first: `dead-letters/list` is no letter with the id `list`.
const PATTERNS: readonly Pattern[] = Object.entries(endpoints)
  .map(([name, endpoint]) => ({
    name: name as EndpointName,
    endpoint: endpoint as Endpoint,
    steps: endpoint.path.split('/'),
  }))
  .toSorted((one, other) => parameters(one) - parameters(other));

/** @param steps of the path below `api/`, decoded. @throws ApiProblem when there is no such endpoint. */
export function findRoute(method: string, steps: readonly string[]): Route {
  const fitting = PATTERNS.filter((pattern) => fits(pattern, steps));
  if (fitting.length === 0)
    throw new ApiProblem('not-found', 'There is no such endpoint.', { cure: 'See openapi.json.' });
  const wanted = method === 'HEAD' ? 'GET' : method;
  const found = fitting.find(({ endpoint }) => endpoint.method === wanted);
  if (!found) {
    const allow = fitting.map(({ endpoint }) => endpoint.method).join(', ');
    throw new ApiProblem('bad-request', `This endpoint is not for ${method}.`, { headers: { allow } });
  }
  const params = Object.fromEntries(
    found.steps.flatMap((step, index) => (step.startsWith('{') ? [[step.slice(1, -1), steps[index]!]] : [])),
  );
  return { name: found.name, endpoint: found.endpoint, params };
}

/** @throws ApiProblem naming each thing that does not fit, by its path, without its value. */
export function checkInput(schema: z.ZodType | undefined, input: unknown, what: 'query' | 'body'): unknown {
  if (!schema) return undefined;
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    (issue) => `${[what, ...issue.path.map(String)].join('.')}: ${issue.message}`,
  );
  throw new ApiProblem('bad-request', problems.join('; '), { cure: 'See openapi.json.' });
}

const MOST_BYTES = 2_000_000;

/** @throws ApiProblem when the body is too long or no JSON. */
export async function readJson(request: Request): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += (chunk as Uint8Array).byteLength;
    if (bytes > MOST_BYTES) throw new ApiProblem('bad-request', `The body is longer than ${MOST_BYTES} bytes.`);
    chunks.push(chunk as Uint8Array);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new ApiProblem('bad-request', 'The body is no JSON.');
  }
}

function parameters({ steps }: Pattern): number {
  return steps.filter((step) => step.startsWith('{')).length;
}

function fits({ steps: wanted }: Pattern, steps: readonly string[]): boolean {
  return wanted.length === steps.length && wanted.every((step, index) => step.startsWith('{') || step === steps[index]);
}
