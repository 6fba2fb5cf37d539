import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer, escapeHtml, wordsAnswer } from './answer.js';

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
 * The built page. All its files are read once and found by their whole name: a path that names none of them is an
 * address inside the page, and gets `index.html`. No path of a request ever reaches the file system.
 */
export class Pages {
  #files?: ReadonlyMap<string, Page>;

  constructor(private readonly basePath: string) {}

  /** @param path decoded, below the base path, without the slash it begins with */
  serve(path: string): Response {
    this.#files ??= readFiles(this.basePath);
    if (this.#files.size === 0) {
      return wordsAnswer(
        503,
        'The page is not built',
        '<p>Run <code>npm run build</code>. The API below <code>api/</code> works.</p>',
      );
    }
    const found = this.#files.get(path);
    // What looks like a file and is none must not be answered with a page: a browser would run it as a script.
    if (!found && path.startsWith('assets/')) return answer(404, null, {});
    const { body, type, immutable } = found ?? this.#files.get('index.html')!;
    return answer(200, body, {
      'content-type': type,
      'cache-control': immutable ? 'private, max-age=31536000, immutable' : 'no-cache',
    });
  }
}

/** Beside this file in the built package; in the sources where the build puts it. */
const FOLDERS = ['../admin-ui', '../../dist/admin-ui'].map((path) => fileURLToPath(new URL(path, import.meta.url)));

function readFiles(basePath: string): Map<string, Page> {
  const files = new Map<string, Page>();
  const folder = FOLDERS.find((one) => existsSync(join(one, 'index.html')));
  if (folder === undefined) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const whole = join(entry.parentPath, entry.name);
    const path = whole.slice(folder.length + 1).replaceAll('\\', '/');
    const body = path === 'index.html' ? indexPage(whole, basePath) : new Uint8Array(readFileSync(whole));
    files.set(path, { body, type, immutable: path.startsWith('assets/') });
  }
  return files;
}

// All addresses in the page are relative to this one, which the build cannot know.
function indexPage(file: string, basePath: string): Uint8Array<ArrayBuffer> {
  const html = readFileSync(file, 'utf8');
  return new TextEncoder().encode(html.replace('<base href="/" />', () => `<base href="${escapeHtml(basePath)}/" />`));
}
