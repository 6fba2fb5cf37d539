import 'reflect-metadata';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { type Admin, createAdmin } from '../../src/admin/admin.js';
import { ACTION_HEADER, type RowsPage, type ServiceInfo } from '../../src/admin/contract.js';
import { type NodeRequest, toNodeHandler } from '../../src/admin/node.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { byHeader } from './client.js';
import { Person, Seat } from './entities.js';

/** The recipes of docs/admin.md, with the real frameworks, over real sockets. */

const BASE = '/ops/cqrs';
let service: MasterService;
let admin: Admin<NodeRequest>;
/** What `authorize` was given beside the request. */
let natives: unknown[];

beforeAll(async () => {
  service = await masterService([Person, Seat]);
  await service.sql(`insert into person (id, name) values (1, 'Ada') /* cqrs */`);
  admin = createAdmin<NodeRequest>(service.cqrs, {
    basePath: BASE,
    authorize: (request, native) => {
      natives.push(native);
      return byHeader(request);
    },
  });
});
afterAll(async () => service[Symbol.asyncDispose]());

interface Running {
  readonly port: number;
  close(): Promise<unknown>;
}

async function listen(server: Server): Promise<Running> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): Promise<unknown> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as AddressInfo).port, close };
}

const FRAMEWORKS: Record<string, () => Promise<Running>> = {
  'node:http': () => listen(createServer(toNodeHandler(admin))),

  Express: () => {
    const app = express();
    app.use(BASE, toNodeHandler(admin));
    return listen(createServer(app));
  },

  'Express, behind a body parser': () => {
    const app = express();
    app.use(express.json());
    app.use(BASE, toNodeHandler(admin));
    return listen(createServer(app));
  },

  Fastify: async () => {
    const app = fastify();
    const handle = toNodeHandler(admin);
    await app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.all(`${BASE}/*`, (request, reply) => {
        reply.hijack();
        handle(request.raw, reply.raw);
      });
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
  },

  NestJS: async () => {
    // oxlint-disable-next-line typescript/no-extraneous-class -- Nest's modules are such
    class AppModule {}
    Module({})(AppModule);
    const app = await NestFactory.create(AppModule, { logger: false });
    app.use(BASE, toNodeHandler(admin));
    await app.listen(0, '127.0.0.1');
    const server = app.getHttpServer() as Server;
    return { port: (server.address() as AddressInfo).port, close: () => app.close() };
  },

  // Hono on Node comes with an adapter of its own; here its `fetch` is called as that adapter would.
  Hono: () => {
    const app = new Hono();
    app.all(`${BASE}/*`, (context) => admin(context.req.raw));
    return listen(
      createServer(toNodeHandler(Object.assign((request: Request) => app.fetch(request), admin)) as RequestListener),
    );
  },
};

describe.each(Object.entries(FRAMEWORKS))('%s', (name, start) => {
  let running: Running;
  let base: string;
  beforeAll(async () => {
    natives = [];
    running = await start();
    base = `http://127.0.0.1:${running.port}${BASE}`;
  });
  afterAll(async () => running.close());
  const authorization = 'operator ada';

  test('reads', async () => {
    const response = await fetch(`${base}/api/service`, { headers: { authorization } });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(((await response.json()) as ServiceInfo).user.name).toBe('ada');
    if (name !== 'Hono') expect((natives.at(-1) as IncomingMessage).headers.authorization).toBe(authorization);
  });

  test('takes bodies', async () => {
    const response = await fetch(`${base}/api/masters/person/rows`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', [ACTION_HEADER]: '1' },
      body: JSON.stringify({ search: 'ada' }),
    });
    expect(response.status).toBe(200);
    expect(((await response.json()) as RowsPage).rows.map(({ key }) => key)).toEqual(['1']);
  });

  test('lets nobody in unasked', async () => {
    expect((await fetch(`${base}/api/service`)).status).toBe(401);
    expect((await fetch(`${base}/`)).status).toBe(401);
  });

  test('streams, until the page is closed', async () => {
    const first = await new Promise<string>((resolve, reject) => {
      const sent = httpRequest(`${base}/api/live`, { headers: { authorization } }, (response) => {
        response.once('data', (chunk) => {
          resolve(String(chunk));
          sent.destroy();
        });
      });
      sent.once('error', reject).end();
    });
    expect(first).toContain('retry:');
  });
});
