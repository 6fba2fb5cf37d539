import { ConfigurationError } from './errors.js';

/**
 * Whether a URL may be read otherwise than it was meant, since its user name or password holds a character that ends a part
 * of a URL (`/ ? # @ \`) and is not percent-encoded. The host that is then found is a piece of the password, and would be
 * named in logs.
 */
export function mayMisreadPassword(url: string): boolean {
  const [, rest] = /^[^:]*:\/\/(.*)$/s.exec(url) ?? [];
  if (rest === undefined) return false;
  if (/[\\#]/.test(rest)) return true;
  const at = rest.indexOf('@');
  const end = rest.search(/[/?]/);
  return at !== rest.lastIndexOf('@') || (end >= 0 && at > end);
}

/** For a ConfigurationError; it quotes nothing of the URL. */
export const MISREAD_PASSWORD = {
  what: 'one of / ? # @ \\ stands in it where it cuts the URL in pieces, in its password maybe.',
  cure: 'Percent-encode user name and password, e.g. with encodeURIComponent: / is %2F, ? is %3F, # is %23, @ is %40, \\ is %5C.',
} as const;

/** @throws ConfigurationError */
export function refuseMisreadPasswords(where: string, urls: readonly (string | undefined)[]): void {
  if (urls.some((url) => url !== undefined && mayMisreadPassword(url)))
    throw new ConfigurationError([{ where, ...MISREAD_PASSWORD }]);
}
