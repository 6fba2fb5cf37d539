import type { Browser } from 'playwright-core';
import { visit } from './browser.js';
import { Account, accounts, LONG_REFERENCE, Payment } from './entities.js';
import { eventually } from './eventually.js';
import type { Stage } from './stage.js';

/** Something to look at on every page. Answers the comparison that has found differences. */
export async function furnish({ bank, shop, queue }: Stage, browser: Browser): Promise<string> {
  const em = bank.orm.em.fork();
  await em.insertMany(Account, accounts(180));
  for (let id = 1; id <= 6; id++) {
    await em.insert(Payment, {
      id,
      amount: `${id * 20}.00`,
      reference: id % 2 === 0 ? LONG_REFERENCE : `invoice ${id}`,
    });
  }
  await eventually(
    () => shop.cqrs.transport.inspect(`dead_letter_${queue}`),
    (state) => state?.messages === 3,
  );
  await eventually(
    () => shop.sql<{ n: number }>('select count(*)::int as n from account_ref'),
    ([answer]) => answer!.n === 180,
  );
  await em.nativeUpdate(Account, { country: 'NL' }, { status: 'frozen' });

  // what an operator did today
  await using teller = await visit(browser, bank);
  const { page } = teller;
  await teller.open('#/rows/account');
  for (const id of [2, 3, 5]) await page.getByRole('checkbox', { name: `Select row ${id}`, exact: true }).check();
  await page.getByRole('button', { name: 'Synchronize selected' }).click();
  await page.getByText('3 sent').waitFor();
  await teller.open('#/rows/account?search=hopper');
  await page.getByRole('checkbox', { name: 'Select this page' }).check();
  await page.getByRole('combobox', { name: 'Send to' }).selectOption('only to another queue…');
  await page.getByRole('textbox', { name: 'Queue' }).fill('shpo');
  await page.getByRole('button', { name: 'Synchronize selected' }).click();
  await page.getByText('30 unroutable').waitFor();

  // a row that changed within the last seconds is on its way, and no difference
  await eventually(
    () => bank.sql<{ settled: boolean }>("select max(cqrs_updated) < now() - interval '6 s' as settled from account"),
    ([answer]) => answer!.settled,
  );
  await shop.sql('update account_ref set balance = 0.01 where id = 12');
  await shop.sql('delete from account_ref where id = 30');
  await teller.open('#/replicas');
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  await page
    .getByRole('region', { name: 'Differences' })
    .getByRole('row', { name: /damaged/ })
    .waitFor();
  return new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('job')!.replaceAll('"', '');
}
