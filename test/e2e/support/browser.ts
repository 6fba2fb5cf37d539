import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { type Site, USER_COOKIE } from './stage.js';

export const SIZES = { wide: { width: 1360, height: 860 }, phone: { width: 390, height: 844 } } as const;

export interface VisitOptions {
  /** Null: nobody is signed in. */
  readonly role?: 'operator' | 'read-only' | null;
  readonly colours?: 'light' | 'dark';
  readonly size?: keyof typeof SIZES;
}

/** A person at the page of one service. */
export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** What the browser had to complain of: errors in the console, what the CSP refused. Tests end with none. */
  readonly complaints: string[];
  /** Opens an address of the page: '#/rows/account'. */
  open(address?: string): Promise<void>;
}

/** One Chromium for a test file. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env['CQRS_TEST_CHROMIUM'] ?? '/usr/bin/chromium' });
}

export async function visit(browser: Browser, site: Site, options: VisitOptions = {}): Promise<Visit> {
  const { role = 'operator', colours = 'light', size = 'wide' } = options;
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: colours,
    reducedMotion: 'reduce',
    hasTouch: size === 'phone',
  });
  context.setDefaultTimeout(30_000);
  if (role) await signIn(context, site, role);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return {
    page,
    complaints,
    async open(address = '') {
      await page.goto(`${site.url}${address}`);
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

function signIn(context: BrowserContext, site: Site, role: string): Promise<void> {
  return context.addCookies([{ name: USER_COOKIE, value: `ada:${role}`, url: site.url }]);
}
