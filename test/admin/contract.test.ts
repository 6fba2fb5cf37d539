import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createAdmin } from '../../src/admin/admin.js';
import { ACTION_HEADER, type Endpoint, endpoints } from '../../src/admin/contract.js';
import { openApi } from '../../src/admin/http/openapi.js';
import { routes } from '../../src/admin/http/routes.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { root } from '../support/source-files.js';
import { AdminClient, byHeader } from './client.js';
import { Seat } from './entities.js';

/** The contract is what is served, and what is documented. */

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean }[];
  readonly requestBody?: unknown;
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Seat]);
});
afterAll(async () => service[Symbol.asyncDispose]());

test('every endpoint is answered by somebody', () => {
  expect(Object.keys(routes).toSorted()).toEqual(Object.keys(endpoints).toSorted());
});

test('docs/admin-api.json describes every endpoint as it is checked', () => {
  const written = JSON.parse(readFileSync(`${root}/docs/admin-api.json`, 'utf8')) as { paths: Paths };
  expect(written).toEqual(JSON.parse(JSON.stringify(openApi())));
  for (const [name, { method, path, body }] of Object.entries(endpoints) as [string, Endpoint][]) {
    const operation = written.paths[`/api/${path}`]![method.toLowerCase()]!;
    expect(operation.operationId).toBe(name);
    expect(operation.requestBody !== undefined).toBe(body !== undefined);
    const named = (operation.parameters ?? []).filter(({ required }) => required).map((parameter) => parameter.name);
    expect(named).toEqual([
      ...[...path.matchAll(/\{(\w+)\}/g)].map(([, one]) => one),
      ...(body ? [ACTION_HEADER] : []),
    ]);
  }
});

test('it is served beside the API, with where that is', async () => {
  const client = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader, basePath: '/ops' }), '/ops');
  const served = (await (await client.raw('/api/openapi.json')).json()) as { servers: { url: string }[]; paths: Paths };
  expect(served.servers).toEqual([{ url: '/ops' }]);
  expect(Object.keys(served.paths)).toHaveLength(new Set(Object.values(endpoints).map(({ path }) => path)).size + 1);
  expect((await client.as('').raw('/api/openapi.json')).status).toBe(401);
});
