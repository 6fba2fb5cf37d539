import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { openBrowser, visit } from './support/browser.js';
import { Account, accounts } from './support/entities.js';
import { eventually } from './support/eventually.js';
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

test('a comparison finds a row that was damaged by hand, and a repair mends it', async () => {
  const { bank, shop } = stage;
  await bank.orm.em.fork().insertMany(Account, accounts(30));
  const balanceOf7 = (): Promise<{ balance: string }[]> => shop.sql('select balance from account_ref where id = 7');
  await eventually(
    () => shop.sql<{ n: number }>('select count(*)::int as n from account_ref'),
    ([answer]) => answer!.n === 30,
  );
  // a row that changed within the last seconds is on its way, and no difference
  await eventually(
    () => bank.sql<{ settled: boolean }>("select max(cqrs_updated) < now() - interval '6 s' as settled from account"),
    ([answer]) => answer!.settled,
  );
  const [before] = await balanceOf7();
  await shop.sql('update account_ref set balance = 999999.99 where id = 7');

  await using visitor = await visit(browser, bank);
  const { page } = visitor;
  await visitor.open();
  await page.getByRole('link', { name: 'Replicas' }).click();
  await page.getByRole('button', { name: 'Compare', exact: true }).click();

  const differences = page.getByRole('region', { name: 'Differences' });
  await differences
    .getByRole('row', { name: /^Select row 7 7 damaged .* balance 0 0 no$/ })
    .waitFor({ timeout: 30_000 });
  expect(await differences.locator('tbody tr').count()).toBe(1);
  await differences.getByRole('checkbox', { name: 'Select row 7' }).check();
  await differences.getByRole('button', { name: 'Repair selected' }).click();
  await differences.getByText('repaired', { exact: true }).waitFor();
  expect(await eventually(balanceOf7, ([row]) => row!.balance === before!.balance)).toEqual([before]);

  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  await page.getByText('Master and replica are equal').waitFor();
  expect(visitor.complaints).toEqual([]);
});

test('why a row is not there: it was deleted', async () => {
  const { bank, shop } = stage;
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

test('a replica’s page counts its rows, says what its master found, and how to compare again', async () => {
  const { shop, queue } = stage;
  await shop.cqrs.recordActivity();
  const [rows] = await shop.sql<{ n: string }>('select count(*)::text as n from account_ref');
  await using visitor = await visit(browser, shop);
  const { page } = visitor;
  await visitor.open('#/replicas');
  const card = page.getByRole('region', { name: 'Replica account' });
  await card.getByText(/account compared by its master \(30 there, 30 here\): 0 missing/).waitFor();
  await card.getByText(`npx cqrs reconcile --cqrs-id account --queue ${queue}`).waitFor();
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await card.getByRole('button', { name: 'Copy' }).click();
  await card.getByRole('button', { name: 'Copied' }).waitFor();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(
    `npx cqrs reconcile --cqrs-id account --queue ${queue}`,
  );
  await card.getByRole('link', { name: 'account' }).click();
  await page.getByText(`${rows!.n} shown · ${rows!.n} match`).waitFor();
  expect(visitor.complaints).toEqual([]);
});
