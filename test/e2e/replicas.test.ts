import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { openBrowser, visit } from './support/browser.js';
import { Account, accounts } from './support/entities.js';
import { openStage, type Stage } from './support/stage.js';

let stage: Stage;
let browser: Browser;

beforeAll(async () => {
  [stage, browser] = await Promise.all([openStage(), openBrowser()]);
});

afterAll(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

test('why a row is not there: it was deleted', async () => {
  const { bank, shop } = stage;
  await bank.orm.em.fork().insertMany(Account, accounts(10));
  const gone = shop.cqrs.events.next('cqrs.inbox.applied', { matching: ({ action }) => action === 'delete' });
  await bank.orm.em.fork().nativeDelete(Account, { id: 9 });
  await gone;
  await using visitor = await visit(browser, shop);
  const { page } = visitor;
  await visitor.open('#/replicas');
  await page.getByRole('textbox', { name: 'Key of a row of account' }).fill('9');
  await page.getByRole('region', { name: 'Replica account' }).getByRole('button', { name: 'Look' }).click();
  await page.getByRole('dialog').getByRole('heading', { name: 'Why is this row not there?' }).waitFor();
  await page
    .getByRole('dialog')
    .getByText(/deleted/i)
    .first()
    .waitFor();
  expect(visitor.complaints).toEqual([]);
});
