import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** Writes the story: with colours and at a pace a person can follow on a terminal, plainly and at once elsewhere. */
export class Screen {
  readonly #live: boolean;
  #queue: Promise<void> = Promise.resolve();
  #chapter = 0;

  constructor(private readonly out: NodeJS.WriteStream = process.stdout) {
    this.#live = out.isTTY;
  }

  title(text: string, subtitle: string): void {
    this.#line(`\n ${this.#paint(['bold', 'cyan'], text)}  ${this.#paint('dim', subtitle)}\n`);
  }

  chapter(text: string, code: string): void {
    this.#line(`\n ${this.#paint(['bold', 'yellow'], `${++this.#chapter}`)}  ${this.#paint('bold', text)}`, 500);
    this.#line(`    ${this.#paint('dim', code)}`, 300);
  }

  sent(text: string): void {
    this.#line(`      ${this.#paint('cyan', '─▶')} ${text}`, 60);
  }

  applied(text: string): void {
    this.#line(`         ${this.#paint('green', '✓')} ${this.#paint('dim', text)}`, 60);
  }

  trouble(text: string): void {
    this.#line(`         ${this.#paint('red', '✗')} ${text}`, 120);
  }

  note(text: string): void {
    this.#line(`      ${this.#paint('dim', text)}`, 60);
  }

  /** Two tables side by side, the differing rows marked. */
  tables(left: Table, right: Table): void {
    const [a, b] = [frame(left), frame(right)];
    const height = Math.max(a.length, b.length);
    const width = a[0]!.length;
    for (let row = 0; row < height; row++) {
      this.#line(`      ${(a[row] ?? '').padEnd(width)}   ${b[row] ?? ''}`);
    }
    this.#line('', 500);
  }

  /** Addresses to open. */
  links(pages: readonly (readonly [string, string])[]): void {
    for (const [name, url] of pages) this.#line(` ${this.#paint('bold', name.padEnd(10))} ${this.#paint('cyan', url)}`);
    this.#line(`\n ${this.#paint('dim', 'Traffic is running; Ctrl-C ends it.')}\n`);
  }

  verdict(equal: boolean, seconds: number): void {
    const text = equal ? 'master and replica are equal' : 'master and replica differ';
    this.#line(
      `\n ${this.#paint(['bold', equal ? 'green' : 'red'], `${equal ? '✓' : '✗'} ${text}`)}  ${this.#paint('dim', `after ${seconds.toFixed(1)} s`)}\n`,
    );
  }

  /** Resolves when everything has been written. */
  done(): Promise<void> {
    return this.#queue;
  }

  #paint(format: Format, text: string): string {
    return styleText(format, text, { stream: this.out });
  }

  #line(text: string, pauseMs = 0): void {
    this.#queue = this.#queue.then(async () => {
      this.out.write(`${text}\n`);
      if (this.#live && pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    });
  }
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

function frame({ title, columns, rows }: Table): string[] {
  const widths = columns.map((column, index) => Math.max(column.length, ...rows.map((row) => row[index]!.length)));
  const cells = (row: readonly string[]): string => row.map((cell, index) => cell.padEnd(widths[index]!)).join('  ');
  const inner = Math.max(cells(columns).length, title.length + 1);
  return [
    `┌ ${title} ${'─'.repeat(inner - title.length)}┐`,
    `│ ${cells(columns).padEnd(inner)} │`,
    ...rows.map((row) => `│ ${cells(row).padEnd(inner)} │`),
    `└${'─'.repeat(inner + 2)}┘`,
  ];
}
