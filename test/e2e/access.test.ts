import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { openBrowser, visit } from './support/browser.js';
import { Account, accounts, LONG_REFERENCE, Payment } from './support/entities.js';
import { openStage, type Stage } from './support/stage.js';

let stage: Stage;
let browser: Browser;

beforeAll(async () => {
  [stage, browser] = await Promise.all([openStage(), openBrowser()]);
  const { bank, shop } = stage;
  await bank.orm.em.fork().insertMany(Account, accounts(5));
  const dead = shop.cqrs.events.next('cqrs.inbox.dead-lettered');
  await bank.orm.em.fork().insert(Payment, { id: 1, amount: '1.00', reference: LONG_REFERENCE });
  await dead;
});

afterAll(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

test('who is not signed in sees no data, neither on a page nor by asking for it', async () => {
  await using visitor = await visit(browser, stage.bank, { role: null });
  const { page } = visitor;
  const answers: number[] = [];
  page.on('response', (response) => answers.push(response.status()));
  for (const address of ['', '#/rows/account', 'api/service', 'api/overview', 'api/live', 'assets/index.js']) {
    await visitor.open('about:blank').catch(() => {});
    await visitor.open(address);
    expect(await page.locator('body').innerText()).not.toMatch(/Ada Lovelace|account_ref|payment/);
  }
  expect(new Set(answers)).toEqual(new Set([401]));
});

test('a session that ends says so, instead of failing in silence', async () => {
  await using visitor = await visit(browser, stage.bank);
  const { page } = visitor;
  await visitor.open('#/rows/account');
  await page.getByText('Ada Lovelace').waitFor();
  await page.context().clearCookies();
  await page.getByRole('searchbox', { name: 'Search' }).fill('grace');
  await page.getByText('You are not signed in').first().waitFor();
});

test('who may only look gets no buttons that act', async () => {
  await using bank = await visit(browser, stage.bank, { role: 'read-only' });
  await bank.open('#/rows/account');
  await bank.page.getByText('Ada Lovelace').waitFor();
  expect(await bank.page.getByRole('checkbox').count()).toBe(0);
  expect(await bank.page.getByRole('button', { name: /synchronize/i }).count()).toBe(0);
  await bank.page.getByRole('button', { name: '1', exact: true }).click();
  await bank.page.getByRole('heading', { name: 'Values' }).waitFor();
  expect(await bank.page.getByRole('button', { name: /synchronize/i }).count()).toBe(0);

  await using shop = await visit(browser, stage.shop, { role: 'read-only' });
  await shop.open('#/dead-letters');
  await shop.page.getByRole('button', { name: 'Show letters' }).click();
  await shop.page.getByRole('button', { name: '1', exact: true }).waitFor();
  expect(await shop.page.getByRole('button', { name: /retry|purge|dry run/i }).count()).toBe(0);
  expect(await shop.page.getByRole('checkbox').count()).toBe(0);
  await bank.open('#/replicas');
  await bank.page.getByRole('heading', { name: 'Replicas', exact: true }).waitFor();
  expect(await bank.page.getByRole('button', { name: /compare|repair/i }).count()).toBe(0);
  expect([...bank.complaints, ...shop.complaints]).toEqual([]);
});
