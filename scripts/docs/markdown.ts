/** As much of Markdown as the checks need: headings, links, fenced blocks. */
export interface Page {
  /** From the project's root, with slashes. */
  readonly path: string;
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly Link[];
  readonly fences: readonly Fence[];
}

export interface Link {
  readonly target: string;
  readonly line: number;
}

export interface Fence {
  /** The first word after the backticks: 'ts', 'sh', …; '' when there is none. */
  readonly language: string;
  /** The words behind it: 'run', 'continues', 'no-run'. */
  readonly flags: readonly string[];
  readonly text: string;
  /** Of the first line of its text. */
  readonly line: number;
}

export function parsePage(path: string, markdown: string): Page {
  const anchors = new Set<string>();
  const links: Link[] = [];
  const fences: Fence[] = [];
  let open: { marker: string; info: string[]; line: number; text: string[] } | null = null;
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^\s*(`{3,}|~{3,})\s*(.*)$/.exec(text);
    if (open) {
      if (fence?.[1]!.startsWith(open.marker) && fence[2] === '') {
        const [language = '', ...flags] = open.info;
        fences.push({ language, flags, text: open.text.join('\n'), line: open.line });
        open = null;
      } else open.text.push(text);
    } else if (fence) {
      open = { marker: fence[1]!, info: fence[2]!.split(/\s+/).filter(Boolean), line: index + 2, text: [] };
    } else {
      const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1];
      if (heading !== undefined) anchors.add(fresh(slug(heading), anchors));
      for (const [, name] of text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(name!);
      for (const target of targetsIn(text)) links.push({ target, line: index + 1 });
    }
  }
  return { path, anchors, links, fences };
}

/** The anchor that GitHub gives a heading. */
export function slug(heading: string): string {
  return plain(heading)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}

function plain(heading: string): string {
  return heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/<[^>]+>/g, '');
}

function fresh(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name;
  let number = 1;
  while (taken.has(`${name}-${number}`)) number++;
  return `${name}-${number}`;
}

function targetsIn(text: string): string[] {
  const withoutCode = text.replace(/(`+)(?:(?!\1).)*\1/g, '');
  const inline = [...withoutCode.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const definitions = [...withoutCode.matchAll(/^\s*\[[^\]]+\]:\s+(\S+)/g)];
  return [...inline, ...definitions].map(([, target]) => target!);
}
