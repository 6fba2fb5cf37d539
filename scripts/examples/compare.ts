/** What differs from run to run: times, durations, rates, random names, incarnations. Everything else must be equal. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  // eslint-disable-next-line no-control-regex -- colours
  [/\u001b\[[0-9;?]*[A-Za-z]/g, ''],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d(:?\d\d)?))?/g, '<time>'],
  [/\b\d\d:\d\d:\d\d(\.\d+)?\b/g, '<time>'],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<uuid>'],
  [/\b\d+([.,]\d+)* ?(µs|ms|s|seconds?)\b/g, '<duration>'],
  [/\b\d+([.,]\d+)*(?= ?(rows|messages|msg)\/s)/g, '<rate>'],
  [/\b\d{13,}\b/g, '<number>'],
];

export function normalise(text: string): string {
  const stable = VARYING.reduce((all, [pattern, name]) => all.replace(pattern, name), text.replaceAll('\r\n', '\n'));
  return `${stable
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim()}\n`;
}

/** The first lines that differ, as `- expected`, `+ printed`. */
export function differences(expected: string, printed: string, most = 8): string[] {
  const wanted = expected.split('\n');
  const found = printed.split('\n');
  const lines: string[] = [];
  for (let at = 0; at < Math.max(wanted.length, found.length) && lines.length < most; at++) {
    if (wanted[at] === found[at]) continue;
    lines.push(`line ${at + 1}`);
    if (wanted[at] !== undefined) lines.push(`- ${wanted[at]}`);
    if (found[at] !== undefined) lines.push(`+ ${found[at]}`);
  }
  return lines;
}
