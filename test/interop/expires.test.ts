import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { interop } from './support/python.js';

interop('the table of times', () => {
  test('is what python-dateutil says today', () => {
    const script = fileURLToPath(new URL('./expires/forms.py', import.meta.url));
    const env = { ...process.env, LC_ALL: 'C' };
    const printed = execFileSync(process.env['CQRS_INTEROP_PYTHON']!, ['-W', 'ignore', script], { env }).toString();
    const golden = readFileSync(new URL('../golden/expires.json', import.meta.url), 'utf8');
    expect(JSON.parse(printed)).toEqual(JSON.parse(golden));
  });
});
