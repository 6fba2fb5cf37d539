import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import type { Browser } from 'playwright-core';
import { createAdmin, toNodeHandler } from '../../src/admin/index.js';
import { masterClass, MasterEntity } from '../../src/master/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { openBrowser, visit } from './support/browser.js';

/** Where there is nothing to list, the page says why and what can be done all the same. */

const TokenSchema = defineEntity({
  name: 'Token',
  extends: MasterEntity,
  properties: { id: p.string().primary().hidden(), owner: p.string() },
});
class Token extends masterClass(TokenSchema) {
  static override CQRS_ID = 'token';
}
TokenSchema.setClass(Token);

let service: MasterService;
let server: Server;
let browser: Browser;
beforeAll(async () => {
  [service, browser] = await Promise.all([masterService([Token]), openBrowser()]);
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

test('a master with a hidden key: why it has no rows here, and the command that sends them', async () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await service.orm.em.fork().insert(Token, { id: 's3cret', owner: 'Ada' } as never);
  await using visitor = await visit(browser, { ...service, url });
  const { page } = visitor;
  await visitor.open('#/rows');
  const rows = page.getByRole('region', { name: 'Rows of token' });
  await rows.getByText("The key 'id' of Token is hidden").waitFor();
  await rows.getByText('npx cqrs sync --cqrs-id token').waitFor();
  await rows.getByRole('link', { name: 'Replicas' }).click();
  await page.getByRole('heading', { name: 'Replicas', level: 1 }).waitFor();
  expect(await page.locator('body').innerText()).not.toContain('s3cret');
  expect(visitor.complaints).toEqual([]);
});
