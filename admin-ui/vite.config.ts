import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/**
 * The admin page: static files that any path may serve (`base` is relative), under a Content-Security-Policy that
 * allows nothing inline and no data URLs for code or styles.
 *
 * `npm run admin-ui:dev` serves the sources and sends `api/` to a running `cqrs admin`; `CQRS_ADMIN_URL` says where.
 */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  cacheDir: fileURLToPath(new URL('../.cache/vite', import.meta.url)),
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // the licences of what is bundled travel with it
    license: { fileName: 'licenses.md' },
    reportCompressedSize: false,
  },
  server: {
    proxy: { '/api': { target: process.env['CQRS_ADMIN_URL'] ?? 'http://127.0.0.1:4350', changeOrigin: true } },
  },
});
