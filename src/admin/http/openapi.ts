import * as z from 'zod';
import { VERSION } from '../../kernel/version.js';
import { ACTION_HEADER, ApiError, type Endpoint, endpoints, LiveEvents } from '../contract.js';

type Json = Record<string, unknown>;

/** The JSON API as OpenAPI 3.1, from the schemas that the server checks with. */
export function openApi(basePath = ''): Json {
  const paths: Record<string, Json> = {};
  for (const [name, endpoint] of Object.entries(endpoints) as [string, Endpoint][]) {
    const path = `/api/${endpoint.path}`;
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operation(name, endpoint) };
  }
  paths['/api/live'] = { get: liveOperation() };
  return {
    openapi: '3.1.0',
    info: {
      title: 'mikro-orm-cqrs admin',
      version: VERSION,
      description: `Who may call it is decided by the service's \`authorize\`. Every request that is no GET carries the header \`${ACTION_HEADER}\`.`,
    },
    servers: [{ url: basePath === '' ? '/' : basePath }],
    paths,
  };
}

function operation(name: string, { path, summary, role, query, body, response }: Endpoint): Json {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => ({
    name: parameter,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const header = body ? [{ name: ACTION_HEADER, in: 'header', required: true, schema: { type: 'string' } }] : [];
  return {
    operationId: name,
    summary,
    description: role === 'operator' ? 'For operators.' : 'For everybody who may see the page.',
    parameters: [...inPath, ...inQuery(query), ...header],
    ...(body ? { requestBody: { required: true, content: json(schemaOf(body, 'input')) } } : {}),
    responses: {
      200: { description: 'Done, or begun.', content: json(schemaOf(response, 'output')) },
      default: { description: 'Refused, with the reason and the cure.', content: json(schemaOf(ApiError, 'output')) },
    },
  };
}

function liveOperation(): Json {
  const events = Object.entries(LiveEvents).map(([name, schema]) => [name, schemaOf(schema, 'output')]);
  return {
    operationId: 'live',
    summary: 'Server-sent events: what changes, as it changes.',
    description: 'For everybody who may see the page. Heartbeats are comments.',
    responses: {
      200: {
        description: 'Events by name, with these data.',
        content: {
          'text/event-stream': { schema: { type: 'string' }, 'x-events': Object.fromEntries(events) as Json },
        },
      },
    },
  };
}

function inQuery(query: z.ZodType | undefined): Json[] {
  if (!query) return [];
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  // Whatever is made into a number may come as a text; what it must be in the end is what a reader wants to know.
  const out = (schemaOf(query, 'output') as { properties?: Record<string, Json> }).properties ?? {};
  return Object.keys(properties).map((name) => ({
    name,
    in: 'query',
    required: required.includes(name) && out[name]?.['default'] === undefined,
    schema: out[name] ?? {},
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, reused: 'inline' }) as Json;
  return rest;
}

function json(schema: Json): Json {
  return { 'application/json': { schema } };
}
