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

test('a broker that is away turns the path amber and says why; it recovers by itself', async () => {
  const { bank, wire } = stage;
  const em = bank.orm.em.fork();
  await em.insertMany(Account, accounts(5));
  await using visitor = await visit(browser, bank);
  const { page } = visitor;
  await visitor.open();
  const verdict = page.getByRole('region', { name: 'Verdict' });
  const broker = page.getByRole('article', { name: 'Broker' });
  const outbox = page.getByRole('article', { name: 'Outbox' });
  await verdict.getByText('All is well').waitFor();

  wire.refuse();
  await em.insert(Account, { ...accounts(6)[5]! });
  await verdict.getByText('Degraded').waitFor({ timeout: 40_000 });
  await verdict
    .getByText(/broker/i)
    .first()
    .waitFor();
  await page.locator('[aria-label=Broker][data-tone=warn]').waitFor();
  await broker.getByText('away', { exact: true }).waitFor();
  // nothing is lost: the change waits, and that is told too
  await outbox.getByText('1', { exact: true }).waitFor();

  wire.heal();
  await verdict.getByText('All is well').waitFor({ timeout: 60_000 });
  await page.locator('[aria-label=Broker][data-tone=well]').waitFor();
  await outbox.getByText('0', { exact: true }).waitFor();
  expect(visitor.complaints).toEqual([]);
}, 150_000);

test('counts go on without a reload', async () => {
  const { bank } = stage;
  await using visitor = await visit(browser, bank);
  const { page } = visitor;
  await visitor.open();
  const master = page.getByRole('article', { name: 'Master' });
  const announced = async (): Promise<number> =>
    Number(/([\d,]+) in the last hour/.exec(await master.innerText())![1]!.replaceAll(',', ''));
  await page.getByText('Live', { exact: true }).waitFor();
  const before = await announced();
  await bank.orm.em.fork().insertMany(Account, accounts(50).slice(20));
  await master.getByText(`${before + 30} in the last hour`).waitFor({ timeout: 30_000 });
});
