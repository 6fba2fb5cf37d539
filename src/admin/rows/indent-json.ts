/** JSON on one line → the same, indented; nothing else is touched, so that numbers keep all their digits. */
export function indentJson(text: string): string {
  let out = '';
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/gs)) {
    const line = `\n${'  '.repeat(depth)}`;
    if (token === '{' || token === '[') out += `${token}\n${'  '.repeat(++depth)}`;
    else if (token === '}' || token === ']') {
      depth--;
      const empty = /[{[]\s*$/.test(out);
      out = empty ? `${out.trimEnd()}${token}` : `${out}\n${'  '.repeat(depth)}${token}`;
    } else if (token === ',') out += `,${line}`;
    else out += token === ':' ? ': ' : token;
  }
  return out;
}
