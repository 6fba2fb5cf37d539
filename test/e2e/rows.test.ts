import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { openBrowser, visit, type Visit } from './support/browser.js';
import { Account, accounts } from './support/entities.js';
import { eventually } from './support/eventually.js';
import { openStage, type Stage } from './support/stage.js';

/** Looking at rows, choosing some, and sending them. */

let stage: Stage;
let browser: Browser;
let visitor: Visit;
let page: Page;

beforeAll(async () => {
  [stage, browser] = await Promise.all([openStage(), openBrowser()]);
  const { bank } = stage;
  await bank.cqrs.withoutReplication(() => bank.orm.em.fork().insertMany(Account, accounts(240)));
});

afterAll(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  visitor = await visit(browser, stage.bank);
  ({ page } = visitor);
});

afterEach(async () => {
  await visitor[Symbol.asyncDispose]();
  expect(visitor.complaints).toEqual([]);
});

const cells = (column: number): Promise<string[]> => page.locator(`tbody tr td:nth-child(${column})`).allInnerTexts();
const copies = (where: string): Promise<{ id: number }[]> =>
  stage.shop.sql(`select id from account_ref where ${where} order by id`);

describe('looking', () => {
  test('searches, filters and sorts, and the address keeps it all', async () => {
    await visitor.open('#/rows/account');
    await page.getByText('50 shown · 240 match').waitFor();

    await page.getByRole('searchbox', { name: 'Search' }).fill('hopper');
    await page.getByText('40 shown · 40 match').waitFor();

    await page.getByRole('button', { name: 'Add filter' }).click();
    await page.getByRole('combobox', { name: 'Column' }).selectOption('country');
    await page.getByRole('combobox', { name: 'Comparison' }).selectOption('is');
    await page.getByRole('textbox', { name: 'Value' }).fill('DE');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByText('20 shown · 20 match').waitFor();
    expect(new Set(await cells(3))).toEqual(new Set(['Grace Hopper']));
    expect(new Set(await cells(4))).toEqual(new Set(['DE']));

    await page.getByRole('button', { name: 'id', exact: true }).click();
    await page
      .getByRole('columnheader', { name: 'id', exact: true })
      .and(page.locator('[aria-sort=ascending]'))
      .waitFor();
    await page.getByRole('button', { name: 'id', exact: true }).click();
    await page
      .getByRole('columnheader', { name: 'id', exact: true })
      .and(page.locator('[aria-sort=descending]'))
      .waitFor();
    await page.getByRole('row').nth(1).getByRole('button', { name: '236' }).waitFor();

    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.reload();
    await page.getByText('20 shown · 20 match').waitFor();
    await page.getByRole('row').nth(1).getByRole('button', { name: '236' }).waitFor();
    // what was searched for is in no address that a server could write into its log
    expect(asked.filter((url) => /hopper|DE\b|236/.test(new URL(url).pathname + new URL(url).search))).toEqual([]);

    await page.getByRole('button', { name: 'Remove the filter: country is DE' }).click();
    await page.getByText('40 shown · 40 match').waitFor();
    await page.goBack();
    await page.getByText('20 shown · 20 match').waitFor();
  });

  test('goes through the pages, forth and back', async () => {
    await visitor.open('#/rows/account');
    await page.getByRole('button', { name: '50', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByRole('button', { name: '100', exact: true }).waitFor();
    expect((await cells(2)).slice(0, 2)).toEqual(['51', '52']);
    await page.getByRole('button', { name: 'Previous' }).click();
    await page.getByRole('button', { name: '50', exact: true }).waitFor();
    expect((await cells(2)).slice(0, 2)).toEqual(['1', '2']);
  });

  test('nothing that matches, and what is hidden', async () => {
    await visitor.open('#/rows/account?search=nobody-is-called-so');
    await page.getByText('No row matches').waitFor();
    await visitor.open('#/rows/account?row=3');
    await page.getByRole('heading', { name: 'Why is this row not there?' }).waitFor();
    await page.getByRole('heading', { name: /^Payload/ }).waitFor();
    const text = await page.locator('body').innerText();
    expect(text).toContain('Edsger Dijkstra');
    expect(text).not.toContain('secret-pin');
  });
});

describe('synchronizing', () => {
  test('a page of what was filtered, to one queue alone', async () => {
    await visitor.open('#/rows/account?search=liskov');
    await page.getByRole('checkbox', { name: 'Select this page' }).check();
    await page.getByText('40 rows selected').waitFor();
    await page.getByRole('combobox', { name: 'Send to' }).selectOption(`only to ${stage.queue}`);
    await page.getByRole('button', { name: 'Synchronize selected' }).click();
    await page.getByText('40 sent').waitFor();
    expect(
      await eventually(
        () => copies("holder like '%Liskov'"),
        (rows) => rows.length === 40,
      ),
    ).toHaveLength(40);
    // the job is in the address: a reload shows it again
    await page.reload();
    await page.getByText('40 sent').waitFor();
  });

  test('a queue that is not there is told as a failure', async () => {
    await visitor.open('#/rows/account');
    await page.getByRole('checkbox', { name: 'Select row 1', exact: true }).check();
    await page.getByRole('combobox', { name: 'Send to' }).selectOption('only to another queue…');
    await page.getByRole('textbox', { name: 'Queue' }).fill('nobody_listens');
    await page.getByRole('button', { name: 'Synchronize selected' }).click();
    await page.getByText('1 unroutable').waitFor();
    await page.getByRole('article', { name: 'Job' }).getByText('failed', { exact: true }).waitFor();
  });

  test('one row, from its detail', async () => {
    await visitor.open('#/rows/account?row=5');
    await page.getByRole('button', { name: 'Synchronize this row' }).click();
    await page.getByText('1 sent').waitFor();
    expect(
      await eventually(
        () => copies('id = 5'),
        (rows) => rows.length === 1,
      ),
    ).toHaveLength(1);
    // and the row knows of it
    await visitor.open('#/rows/account?row=5');
    const drawer = page.getByRole('dialog');
    await drawer.getByText(/^SYNC of revision 0, committed .*, confirmed /).waitFor();
    await drawer.getByText(/^The broker has revision 0, as SYNC, since /).waitFor();
  });
});

describe('everything that matches, of 100,000 rows', () => {
  beforeAll(async () => {
    await stage.bank.cqrs.withoutReplication(() =>
      stage.bank.sql(
        `insert into account (id, holder, country, status, balance, opened_at, pin)
         select 1000 + n, 'Crowd ' || n, 'FR', 'active', n, now(), 'secret-pin' from generate_series(1, 100000) n`,
      ),
    );
    await stage.bank.sql('analyze account');
  });

  test('shows how far it is, and can be cancelled; another run brings them all', async () => {
    await visitor.open('#/rows/account?search=crowd');
    await page.getByText('50 shown · 100,000 match').waitFor();
    await page.getByRole('button', { name: 'Select everything that matches (100,000 rows)' }).click();
    await page.getByRole('button', { name: 'Synchronize selected' }).click();
    await page.getByRole('alertdialog').getByText('Synchronize 100,000 rows?').waitFor();
    await page.getByRole('button', { name: 'Synchronize', exact: true }).click();

    const job = page.getByRole('article', { name: 'Job' });
    const bar = job.getByRole('progressbar');
    const done = async (): Promise<number> => Number(await bar.getAttribute('aria-valuenow'));
    await job.getByText('running').waitFor();
    await eventually(done, (value) => value > 0);
    await job.getByText(/\/s$/).waitFor();
    // a reload finds it again, still going on
    await page.reload();
    await job.getByText('running').waitFor();
    await job.getByRole('button', { name: 'Cancel' }).click();
    await job.getByText('cancelled').waitFor();
    const sent = await done();
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(100_000);

    await page.getByRole('button', { name: /Select everything that matches/ }).click();
    await page.getByRole('button', { name: 'Synchronize selected' }).click();
    await page.getByRole('button', { name: 'Synchronize', exact: true }).click();
    await job.getByText('100,000 sent').waitFor({ timeout: 90_000 });
    const counted = await eventually(
      () => stage.shop.sql<{ n: number }>("select count(*)::int as n from account_ref where country = 'FR'"),
      ([answer]) => answer!.n === 100_000,
      60_000,
    );
    expect(counted).toEqual([{ n: 100_000 }]);
  }, 180_000);
});
