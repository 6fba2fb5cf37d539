import { openApi } from '../../src/admin/http/openapi.ts';
import { root } from '../support/paths.ts';

export const API_FILE = `${root}/docs/admin-api.json`;

/** `docs/admin-api.json` as it must be. */
export function apiDocument(): string {
  return `${JSON.stringify(openApi(), null, 2)}\n`;
}
