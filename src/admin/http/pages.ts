import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer, wordsAnswer } from './answer.js';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

interface Page {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly immutable: boolean;
}

/**
 * The built page. All its files are read once and found by their whole name; no path of a request ever reaches the file
 * system. Addresses inside the page lie behind its `#`, so a path that names no file leads nowhere.
 */
export class Pages {
  #files?: ReadonlyMap<string, Page>;

  constructor(private readonly basePath: string) {}

  /** @param path decoded, below the base path, without the slash it begins with */
  serve(path: string): Response {
    this.#files ??= readFiles();
    if (this.#files.size === 0) {
      return wordsAnswer(
        503,
        'The page is not built',
        '<p>Run <code>npm run build</code>. The API below <code>api/</code> works.</p>',
      );
    }
    const found = this.#files.get(path === '' ? 'index.html' : path);
    if (!found) {
      return wordsAnswer(404, 'There is no such page', `<p><a href="${this.basePath}/">To the admin page</a></p>`);
    }
    const { body, type, immutable } = found;
    return answer(200, body, {
      'content-type': type,
      'cache-control': immutable ? 'private, max-age=31536000, immutable' : 'no-cache',
    });
  }
}

/** Beside this file in the built package; in the sources where the build puts it. */
const FOLDERS = ['../../admin-ui', '../../../dist/admin-ui'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

function readFiles(): Map<string, Page> {
  const files = new Map<string, Page>();
  const folder = FOLDERS.find((one) => existsSync(join(one, 'index.html')));
  if (folder === undefined) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const whole = join(entry.parentPath, entry.name);
    const path = whole.slice(folder.length + 1).replaceAll('\\', '/');
    files.set(path, { body: new Uint8Array(readFileSync(whole)), type, immutable: path.startsWith('assets/') });
  }
  return files;
}
