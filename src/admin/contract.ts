/**
 * The JSON API of the admin page: every request and every answer, once. The server checks requests with these schemas,
 * the page takes its types from them, and `docs/admin-api.json` (OpenAPI) is generated from them.
 *
 * Values of rows are texts as PostgreSQL prints them, so that nothing is rounded on the way; null is null. They travel in
 * bodies alone, never in a URL. A `key` names a row: the text of its key, or for a composite key a JSON array of its parts.
 * Times are ISO 8601 with offset. Rates are per second. Properties with MikroORM's `hidden: true` appear nowhere.
 */

/** Every request that is no GET must carry this header, with any value: a page of another origin cannot send it. */
export const ACTION_HEADER = 'x-cqrs-admin';

export * from './contract/service.js';
export * from './contract/rows.js';
export * from './contract/jobs.js';
export * from './contract/replicas.js';
export * from './contract/dead-letters.js';
export * from './contract/present.js';
export * from './contract/endpoints.js';
