import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser, Locator } from 'playwright-core';
import { openBrowser, visit } from './support/browser.js';
import { Account, accounts, LONG_REFERENCE, Payment } from './support/entities.js';
import { eventually } from './support/eventually.js';
import { openStage, type Stage } from './support/stage.js';

/** Somebody who has never seen the page, and finds the way by what is written on it alone. */

let stage: Stage;
let browser: Browser;
let clicks = 0;

async function click(what: Locator): Promise<void> {
  clicks++;
  await what.click();
}

beforeAll(async () => {
  [stage, browser] = await Promise.all([openStage(), openBrowser()]);
});

afterAll(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

test('from the beginning, three rows are synchronized in at most five clicks', async () => {
  const { bank, shop } = stage;
  await bank.cqrs.withoutReplication(() => bank.orm.em.fork().insertMany(Account, accounts(20)));
  await using visitor = await visit(browser, bank);
  const { page } = visitor;
  clicks = 0;
  await visitor.open();
  await click(page.getByRole('link', { name: 'Rows' }));
  for (const id of [4, 7, 11]) await click(page.getByRole('checkbox', { name: `Select row ${id}`, exact: true }));
  await click(page.getByRole('button', { name: 'Synchronize selected' }));
  await page.getByText('3 sent').waitFor();
  expect(clicks).toBeLessThanOrEqual(5);

  const copies = await eventually(
    () => shop.sql<{ id: number }>('select id from account_ref order by id'),
    (rows) => rows.length === 3,
  );
  expect(copies.map(({ id }) => id)).toEqual([4, 7, 11]);
  expect(visitor.complaints).toEqual([]);
});

test('from the beginning, a dead letter is retried in at most four clicks', async () => {
  const { bank, shop } = stage;
  const dead = shop.cqrs.events.next('cqrs.inbox.dead-lettered');
  await bank.orm.em.fork().insert(Payment, { id: 1, amount: '20.00', reference: LONG_REFERENCE });
  await dead;
  await shop.sql('alter table payment_ref alter column reference type varchar(200)');

  await using visitor = await visit(browser, shop);
  const { page } = visitor;
  clicks = 0;
  await visitor.open();
  await click(page.getByRole('link', { name: 'Dead letters', exact: false }).first());
  await click(page.getByRole('button', { name: 'Retry', exact: true }));
  await click(page.getByRole('button', { name: 'Retry now' }));
  await page.getByText('No dead letters').waitFor();
  expect(clicks).toBeLessThanOrEqual(4);

  const copies = await eventually(
    () => shop.sql<{ reference: string }>('select reference from payment_ref'),
    (rows) => rows.length === 1,
  );
  expect(copies).toEqual([{ reference: LONG_REFERENCE }]);
  expect(visitor.complaints).toEqual([]);
});
