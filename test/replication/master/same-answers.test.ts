import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  type MikroORM,
  NotFoundError,
  UniqueConstraintViolationException,
  ValidationError,
  wrap,
} from '@mikro-orm/postgresql';
import express, { type ErrorRequestHandler } from 'express';
import { type Entities, type Loose, SEED } from './differential/entities.js';
import { openApplication } from './differential/observe.js';

/** A small web application over MikroORM, with its entities plain and as masters: every answer is the same. */

function application(orm: MikroORM, { Author, Book, Line, Person, Code }: Entities): express.Express {
  const app = express();
  app.use(express.json());
  const answering =
    (
      handle: (em: Loose, request: { params: Record<string, string>; body: Loose }) => Promise<unknown>,
      status = 200,
    ): express.RequestHandler =>
    (request, response, next) => {
      handle(orm.em.fork(), request as never).then((answer) => response.status(status).json(answer), next);
    };
  app.get(
    '/authors',
    answering((em) => em.findAndCount(Author, {}, { populate: ['books'], orderBy: { id: 1, books: { id: 1 } } })),
  );
  app.get(
    '/authors/:id',
    answering((em, { params }) => em.findOneOrFail(Author, Number(params['id']))),
  );
  app.post(
    '/authors',
    answering(async (em, { body }) => {
      const author = em.create(Author, body);
      await em.flush();
      return author;
    }, 201),
  );
  const change = answering(async (em, { params, body }) => {
    const author = await em.findOneOrFail(Author, Number(params['id']), { populate: ['books'] });
    wrap(author).assign(body, { em });
    await em.flush();
    return { author, version: author.version };
  });
  app.patch('/authors/:id', change);
  app.put(
    '/authors',
    answering((em, { body }) => em.upsert(Author, body)),
  );
  app.delete(
    '/authors/:id',
    answering((em, { params }) => em.nativeDelete(Author, Number(params['id']))),
  );
  app.get(
    '/books',
    answering((em) => em.find(Book, {}, { populate: ['author', 'tags'], orderBy: { id: 1 } })),
  );
  app.post(
    '/books/raise',
    answering((em, { body }) => em.qb(Book).update({ price: body.price }).where({ id: body.ids }).execute()),
  );
  app.post(
    '/books/rename',
    answering((em, { body }) => em.qb(Book).update(body).where({ id: 1 }).returning('*').execute('all')),
  );
  app.get(
    '/books/raw',
    answering((em) => em.qb(Book).select(['id', 'title']).orderBy({ id: 1 }).execute()),
  );
  app.get(
    '/people',
    answering((em) => em.find(Person, {}, { orderBy: { id: 1 } })),
  );
  app.get(
    '/lines',
    answering((em) => em.find(Line, {}, { orderBy: { order: 1, product: 1 } })),
  );
  app.put(
    '/codes',
    answering((em, { body }) => em.upsertMany(Code, body)),
  );
  app.post(
    '/codes',
    answering(async (em, { body }) => {
      const code = em.create(Code, body);
      await em.flush();
      return wrap(code).toObject();
    }, 201),
  );
  const failed: ErrorRequestHandler = (error: Error, _request, response, _next) => {
    const status =
      error instanceof NotFoundError
        ? 404
        : error instanceof UniqueConstraintViolationException
          ? 409
          : error instanceof ValidationError
            ? 422
            : 500;
    response.status(status).json({ error: error.constructor.name });
  };
  app.use(failed);
  return app;
}

/** Sends what the last answer was, as a form does. */
const BACK = Symbol('the last answer');
/** What a client may send to masters on top: an older version of the API had it in its answers. */
const SPOILT = { cqrsRevision: null, cqrsUpdated: 'never', cqrsIncarnation: [] };

const REQUESTS: readonly (readonly [method: string, path: string, body?: unknown])[] = [
  ['GET', '/authors'],
  ['GET', '/authors/1'],
  ['PATCH', '/authors/1', BACK],
  ['GET', '/authors/99'],
  ['POST', '/authors', { name: 'Dan', email: 'dan@x', home: { city: 'Rome' }, settings: { theme: 'dark', size: 1 } }],
  ['POST', '/authors', { name: 'Eli' }],
  ['POST', '/authors', { name: 'Dup', email: 'ada@x' }],
  ['POST', '/authors', { email: 'nobody@x' }],
  ['POST', '/authors', { name: 'Fay', books: [{ title: 'One' }, { title: 'Two', tags: [{ name: 'new' }] }] }],
  ['PATCH', '/authors/2', { name: 'Bobby' }],
  ['PATCH', '/authors/2', { name: 'Bobby' }],
  ['PATCH', '/authors/2', { home: { city: 'Oslo' }, books: [{ title: 'Fresh' }] }],
  ['PATCH', '/authors/3', { email: 'ada@x' }],
  ['PATCH', '/authors/3', { born: '1999-12-31' }],
  ['PUT', '/authors', { email: 'ada@x', name: 'Ada U.' }],
  ['PUT', '/authors', { email: 'gus@x', name: 'Gus' }],
  ['DELETE', '/authors/1'],
  ['DELETE', '/authors/3'],
  ['DELETE', '/authors/99'],
  ['GET', '/books'],
  ['POST', '/books/raise', { price: '7.77', ids: [1, 2] }],
  ['POST', '/books/raise', { price: '7.77', ids: [99] }],
  ['POST', '/books/rename', { title: 'Renamed' }],
  ['GET', '/books/raw'],
  ['GET', '/people'],
  ['GET', '/lines'],
  [
    'PUT',
    '/codes',
    [
      { code: 'a', value: 5 },
      { code: 'n', value: 6 },
    ],
  ],
  ['PUT', '/codes', BACK],
  ['POST', '/codes', { code: 'a', value: 1 }],
  ['POST', '/codes', { code: 'o', value: 1 }],
  ['POST', '/codes', { code: 'p' }],
  ['GET', '/authors'],
];

interface Running {
  ask(method: string, path: string, body: unknown): Promise<{ status: number; answer: unknown }>;
  stop(): Promise<void>;
}

async function serve(masters: boolean): Promise<Running> {
  const { orm, declared, close } = await openApplication(masters);
  await orm.em.getConnection().execute(SEED);
  const server: Server = createServer(application(orm, declared));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let last: unknown;
  return {
    async ask(method, path, body) {
      const asked = body === BACK ? last : body;
      const sent =
        masters && asked && !Array.isArray(asked) && method !== 'DELETE' && path !== '/books/raise'
          ? { ...asked, ...SPOILT }
          : asked;
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
      });
      last = await response.json();
      return { status: response.status, answer: last };
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await close();
    },
  };
}

let plain: Running;
let masters: Running;

beforeAll(async () => {
  plain = await serve(false);
  masters = await serve(true);
});
afterAll(async () => {
  await Promise.all([plain.stop(), masters.stop()]);
});

// In their order: each finds what those before it have written.
// A test with more parameters than its row has waits for a callback.
test.each(REQUESTS)('%s %s', async (...[method, path, body]) => {
  const without = await plain.ask(method, path, body);
  const within = await masters.ask(method, path, body);
  expect(within).toEqual(without);
  expect(JSON.stringify(within.answer)).not.toMatch(/cqrs/i);
  if (method === 'GET' && !path.endsWith('99')) expect(within.status).toBe(200);
});
