import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import type { Browser } from 'playwright-core';
import { createAdmin, toNodeHandler } from '../../src/admin/index.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { openBrowser, visit } from './support/browser.js';

/** Where there is nothing to show, the page says why and what can be done. */

const TokenSchema = defineEntity({
  name: 'Token',
  extends: MasterEntity,
  properties: { id: p.string().primary().hidden(), owner: p.string() },
});
class Token extends masterClass(TokenSchema) {
  static override CQRS_ID = 'token';
}
TokenSchema.setClass(Token);

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), text: p.string() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

let service: MasterService;
let server: Server;
let browser: Browser;
beforeAll(async () => {
  [service, browser] = await Promise.all([masterService([Note, Token]), openBrowser()]);
  const admin = createAdmin(service.cqrs, { authorize: () => ({ user: 'ada', role: 'operator' }) });
  server = createServer(toNodeHandler(admin)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
  await service?.cqrs.stop();
  await service?.[Symbol.asyncDispose]();
});

const addressOf = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

test('a service that does not keep what it has sent: which setting would', async () => {
  await service.orm.em.fork().insert(Note, { id: 7, text: 'hello' } as never);
  await using visitor = await visit(browser, { ...service, url: addressOf() });
  await visitor.open('#/rows/note?row=7');
  const drawer = visitor.page.getByRole('dialog');
  await drawer.getByText(/^SAVE waits in the outbox/).waitFor();
  await drawer.getByText(/To see each one here, with its times, set relay\.sentRetentionSeconds/).waitFor();
  expect(visitor.complaints).toEqual([]);
});

test('a master with a hidden key: why it has no rows here, and the command that sends them', async () => {
  await service.orm.em.fork().insert(Token, { id: 's3cret', owner: 'Ada' } as never);
  await using visitor = await visit(browser, { ...service, url: addressOf() });
  const { page } = visitor;
  await visitor.open('#/rows/token');
  const rows = page.getByRole('region', { name: 'Rows of token' });
  await rows.getByText("The key 'id' of Token is hidden").waitFor();
  await rows.getByText('npx cqrs sync --cqrs-id token').waitFor();
  await rows.getByRole('link', { name: 'Replicas' }).click();
  await page.getByRole('heading', { name: 'Replicas', level: 1 }).waitFor();
  expect(await page.locator('body').innerText()).not.toContain('s3cret');
  expect(visitor.complaints).toEqual([]);
});
