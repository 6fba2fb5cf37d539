import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connect } from 'amqplib';
import type { Browser } from 'playwright-core';
import { amqpUrl } from '../support/broker.js';
import { openBrowser, visit } from './support/browser.js';
import { LONG_REFERENCE, Payment } from './support/entities.js';
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

const pay = (id: number, reference: string): Promise<unknown> =>
  stage.bank.orm.em.fork().insert(Payment, { id, amount: '12.50', reference });
const copies = (): Promise<{ id: number }[]> => stage.shop.sql('select id from payment_ref order by id');

test('a poisoned message appears, a dry run says that it works after the mending, a retry brings it home', async () => {
  await using visitor = await visit(browser, stage.shop);
  const { page } = visitor;
  await visitor.open('#/dead-letters');
  await page.getByText('No dead letters').waitFor();

  // it appears by itself, on a page that is open
  await pay(1, LONG_REFERENCE);
  const group = page.getByRole('region', { name: 'Dead letters of payment' });
  await group.locator('code', { hasText: 'reference' }).waitFor({ timeout: 30_000 });

  await group.getByRole('button', { name: 'Show letters' }).click();
  await group.getByRole('button', { name: '1', exact: true }).click();
  const letter = page.getByRole('dialog');
  await letter.getByRole('heading', { name: 'Message' }).waitFor();
  expect(await letter.locator('mark').innerText()).toContain(LONG_REFERENCE);
  await letter.getByRole('button', { name: 'Close' }).click();

  const job = page.getByRole('article', { name: 'Job' });
  await group.getByRole('button', { name: 'Dry run' }).click();
  await job
    .locator('li[data-state=bad]')
    .getByText(/would fail/)
    .waitFor();
  expect(await copies()).toEqual([]);

  await stage.shop.sql('alter table payment_ref alter column reference type varchar(200)');
  await group.getByRole('button', { name: 'Dry run' }).click();
  await job
    .locator('li[data-state=good]')
    .getByText(/would work/)
    .waitFor();
  expect(await copies()).toEqual([]);

  await group.getByRole('button', { name: 'Retry', exact: true }).click();
  await page.getByRole('button', { name: 'Retry now' }).click();
  await page.getByText('No dead letters').waitFor();
  expect(await eventually(copies, (rows) => rows.length === 1)).toEqual([{ id: 1 }]);
  expect(visitor.complaints).toEqual([]);
});

test('chosen ones are purged, after a question, and the audit says by whom', async () => {
  await stage.shop.sql('alter table payment_ref alter column reference type varchar(20) using left(reference, 20)');
  for (const id of [11, 12, 13]) await pay(id, LONG_REFERENCE);
  await using visitor = await visit(browser, stage.shop);
  const { page } = visitor;
  await visitor.open('#/dead-letters');
  const group = page.getByRole('region', { name: 'Dead letters of payment' });
  await group.locator('h2 .badge').getByText('3', { exact: true }).waitFor({ timeout: 30_000 });
  await group.getByRole('button', { name: 'Show letters' }).click();
  for (const id of [11, 13]) await group.getByRole('checkbox', { name: `Select the letter about ${id}` }).check();
  await group.getByRole('button', { name: 'Purge selected' }).click();
  // no is an answer
  await page.getByRole('button', { name: 'Cancel' }).click();
  await group.getByText('2 letters selected').waitFor();
  await group.getByRole('button', { name: 'Purge selected' }).click();
  await page.getByRole('button', { name: 'Purge for good' }).click();
  await page
    .getByRole('article', { name: 'Job' })
    .getByText(/2 purged/)
    .waitFor();
  await group.locator('h2 .badge').getByText('1', { exact: true }).waitFor();

  await visitor.open('#/jobs');
  const line = page.getByRole('row').filter({ hasText: /purge/i }).first();
  await line.getByRole('cell', { name: 'ada', exact: true }).waitFor();
  expect(visitor.complaints).toEqual([]);
});

test('more than are looked at: the page says how many are in no group', async () => {
  const name = `dead_letter_${stage.queue}`;
  const before = (await stage.shop.cqrs.transport.inspect(name))!.messages;
  const connection = await connect(amqpUrl);
  const channel = await connection.createConfirmChannel();
  for (let n = before; n < 2_007; n++) channel.sendToQueue(name, Buffer.from(`not JSON ${n}`));
  await channel.waitForConfirms();
  await connection.close();
  await using visitor = await visit(browser, stage.shop);
  const { page } = visitor;
  await visitor.open('#/dead-letters');
  await page.getByText('7 of 2,007 dead letters are in no group').waitFor({ timeout: 30_000 });
  await page.getByRole('button', { name: 'Purge all' }).click();
  await page.getByRole('button', { name: 'Purge for good' }).click();
  await page.getByText('No dead letters').waitFor({ timeout: 30_000 });
  expect(visitor.complaints).toEqual([]);
});
