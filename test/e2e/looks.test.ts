import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { openBrowser, SIZES, visit, type Visit } from './support/browser.js';
import { furnish } from './support/furnish.js';
import { openStage, type Site, type Stage } from './support/stage.js';

/**
 * Every page as it looks: in light and dark, wide and on a phone. axe looks for what keeps people out, and each page is
 * photographed; `npm run test:e2e -- --screenshots` keeps the pictures for the documentation.
 */

const folder = process.env['CQRS_TEST_SCREENSHOTS'] ?? `${tmpdir()}/cqrs-admin-screenshots`;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let stage: Stage;
let browser: Browser;
let compared: string;

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  [stage, browser] = await Promise.all([openStage(), openBrowser()]);
  compared = await furnish(stage, browser);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

interface View {
  readonly name: string;
  readonly site: () => Site;
  readonly address: () => string;
  /** What is there when all has come. */
  readonly ready: (page: Page) => Promise<unknown>;
}

const bank = (): Site => stage.bank;
const shop = (): Site => stage.shop;
const heading =
  (name: string | RegExp) =>
  (page: Page): Promise<unknown> =>
    page.getByRole('heading', { name }).first().waitFor();

const VIEWS: readonly View[] = [
  { name: 'overview', site: bank, address: () => '#/?minutes=15', ready: heading('Trouble') },
  { name: 'overview-replica', site: shop, address: () => '#/?minutes=15', ready: heading('Trouble') },
  {
    name: 'rows',
    site: bank,
    address: () =>
      `#/rows/account?${new URLSearchParams({ search: 'a', filters: JSON.stringify([{ column: 'country', operator: 'eq', value: 'NL' }]) })}`,
    ready: (page) => page.getByText(/\d shown · \d/).waitFor(),
  },
  { name: 'row', site: bank, address: () => '#/rows/account?row=3', ready: heading(/^Payload/) },
  { name: 'replicas', site: bank, address: () => `#/replicas?job=${compared}`, ready: heading('Differences') },
  {
    name: 'replica-states',
    site: shop,
    address: () => '#/replicas',
    ready: (page) => page.getByRole('region', { name: 'Replica payment' }).waitFor(),
  },
  {
    name: 'dead-letters',
    site: shop,
    address: () => '#/dead-letters',
    ready: (page) => page.getByRole('button', { name: 'Show letters' }).first().waitFor(),
  },
  { name: 'outbox', site: bank, address: () => '#/outbox', ready: heading('Recent events') },
  { name: 'jobs', site: bank, address: () => '#/jobs', ready: (page) => page.getByRole('row').nth(2).waitFor() },
];

const SITES = [bank, shop];

describe.each(['light', 'dark'] as const)('%s', (colours) => {
  describe.each(Object.keys(SIZES) as (keyof typeof SIZES)[])('%s', (size) => {
    const visits = new Map<() => Site, Visit>();
    beforeAll(async () => {
      for (const site of SITES) visits.set(site, await visit(browser, site(), { colours, size }));
    });
    afterAll(async () => {
      for (const visitor of visits.values()) await visitor[Symbol.asyncDispose]();
    });

    test.each(VIEWS)('$name', async ({ name, site, address, ready }) => {
      const visitor = visits.get(site)!;
      const { page } = visitor;
      await visitor.open(address());
      await ready(page);
      await page.screenshot({ path: `${folder}/${name}-${colours}-${size}.png` });
      expect(await seriousIssues(page)).toEqual([]);
      const [inner, outer] = await page.evaluate<number[]>('[document.documentElement.scrollWidth, innerWidth]');
      expect(inner).toBeLessThanOrEqual(outer!);
      expect(visitor.complaints).toEqual([]);
    });
  });
});

test('a letter, and the question before a purge, keep nobody out', async () => {
  await using visitor = await visit(browser, stage.shop);
  const { page } = visitor;
  await visitor.open('#/dead-letters');
  await page.getByRole('button', { name: 'Show letters' }).first().click();
  await page.locator('tbody .link').first().click();
  await page.getByRole('heading', { name: 'Message' }).waitFor();
  await page.screenshot({ path: `${folder}/letter-light-wide.png` });
  expect(await seriousIssues(page)).toEqual([]);
  await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
  await page.getByRole('alertdialog').waitFor();
  expect(await seriousIssues(page)).toEqual([]);
});

test.each(['light', 'dark'] as const)('what the pointer is on can be read (%s)', async (colours) => {
  await using visitor = await visit(browser, stage.bank, { colours });
  const { page } = visitor;
  await visitor.open('#/replicas');
  for (const name of ['Compare', 'Compare and repair']) {
    await page.getByRole('button', { name, exact: true }).hover();
    expect(await seriousIssues(page)).toEqual([]);
  }
  await using other = await visit(browser, stage.shop, { colours });
  await other.open('#/dead-letters');
  await other.page.getByRole('button', { name: 'Purge all' }).click();
  await other.page.getByRole('button', { name: 'Purge for good' }).hover();
  expect(await seriousIssues(other.page)).toEqual([]);
});

test('the keyboard alone opens a row, and comes back', async () => {
  await using visitor = await visit(browser, stage.bank);
  const { page } = visitor;
  await visitor.open('#/rows/account');
  const key = page.getByRole('button', { name: '2', exact: true });
  await key.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByRole('heading', { name: 'Values' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
});

// Run in the page, from its first moment on: whoever drives a browser from outside measures the driver as well.
const USE_AT_ONCE = `(() => {
  const named = (kind) => [...document.querySelectorAll(kind)].find((element) => element.textContent.trim() === 'Rows');
  let clicked = false;
  const look = () => {
    if (clicked && named('h1, h2')) return void window.usedAfter(performance.now());
    const link = clicked ? undefined : named('a');
    if (link) {
      clicked = true;
      link.click();
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()`;

test('it can be used within a second: a page has come, and the one behind its first link', async () => {
  // the best of several, since others want the processors, too; the limit is the same for every one
  let best = Infinity;
  for (let round = 0; round < 20 && best >= 1_000; round++) {
    await using visitor = await visit(browser, stage.bank);
    const { promise: used, resolve } = Promise.withResolvers<number>();
    await visitor.page.exposeFunction('usedAfter', resolve);
    await visitor.page.addInitScript(USE_AT_ONCE);
    await visitor.open();
    best = Math.min(best, await used);
  }
  expect(best).toBeLessThan(1_000);
});

test('a page that stays open keeps neither listeners nor nodes', async () => {
  await using visitor = await visit(browser, stage.bank);
  const { page } = visitor;
  await visitor.open();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  const tour = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      for (const name of ['Rows', 'Outbox and workers', 'Jobs', 'Overview']) {
        await page.getByRole('link', { name, exact: true }).click();
        await page.getByRole('heading', { name, level: 1 }).waitFor();
      }
    }
  };
  const measure = async (): Promise<Record<string, number>> => {
    await devtools.send('HeapProfiler.collectGarbage');
    const { metrics } = await devtools.send('Performance.getMetrics');
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  await tour(5);
  const before = await measure();
  await tour(20);
  const after = await measure();
  expect(after['JSEventListeners']! - before['JSEventListeners']!).toBeLessThan(100);
  expect(after['Nodes']! - before['Nodes']!).toBeLessThan(1_500);
  expect(after['JSHeapUsedSize']! - before['JSHeapUsedSize']!).toBeLessThan(4_000_000);
});

/** What axe calls serious or critical, with where it is. */
async function seriousIssues(page: Page): Promise<string[]> {
  // evaluated by the debugger, which no CSP stops
  await page.evaluate(axe);
  const violations = await page.evaluate<Violation[]>('axe.run().then(({ violations }) => violations)');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
}

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string }[];
}
