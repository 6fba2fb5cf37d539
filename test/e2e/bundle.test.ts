import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { root } from '../support/source-files.js';

const folder = `${root}/dist/admin-ui`;
const index = readFileSync(`${folder}/index.html`, 'utf8');

test('the first load is at most 250 kB, compressed', () => {
  const linked = [...index.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => path!);
  expect(linked.length).toBeGreaterThan(2);
  const bytes = [index, ...linked.map((path) => readFileSync(`${folder}/${path}`))].map((one) => gzipSync(one).length);
  expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(250_000);
});

test('nothing is loaded from elsewhere, nothing is inline, and no source map is shipped', () => {
  expect(index).not.toMatch(/https?:|<style|<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=/);
  const files = readdirSync(`${folder}/assets`);
  expect(files.filter((file) => file.endsWith('.map'))).toEqual([]);
  const styles = files
    .filter((file) => file.endsWith('.css'))
    .map((file) => readFileSync(`${folder}/assets/${file}`, 'utf8'));
  expect(styles.join('')).not.toMatch(/@import|url\(/);
});

test('the licences of what is bundled travel with it', () => {
  const licences = readFileSync(`${folder}/licenses.md`, 'utf8');
  for (const name of ['react', 'react-dom', '@tanstack/react-query', '@base-ui/react'])
    expect(licences).toContain(name);
});
