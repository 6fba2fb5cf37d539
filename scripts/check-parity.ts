import { existsSync, readFileSync } from 'node:fs';
import { countByStatus, parityProblems, parityRows } from './docs/parity.ts';
import { root } from './support/paths.ts';
import { report } from './support/report.ts';

const page = 'docs/django-cqrs.md';
const rows = parityRows(readFileSync(`${root}/${page}`, 'utf8'));
const texts = new Map<string, string | undefined>();
const read = (file: string): string | undefined => {
  if (!texts.has(file))
    texts.set(file, existsSync(`${root}/${file}`) ? readFileSync(`${root}/${file}`, 'utf8') : undefined);
  return texts.get(file);
};

report(`${page}: ${rows.behaviours.length} behaviours, ${rows.names.length} names`, parityProblems(rows, read));
console.log(`  behaviours: ${countByStatus(rows.behaviours)}`);
console.log(`  names: ${countByStatus(rows.names)}`);
for (const { name, status, words } of [...rows.behaviours, ...rows.names]) {
  if (status === 'open') console.log(`  open: ${name} ${words}`);
}
