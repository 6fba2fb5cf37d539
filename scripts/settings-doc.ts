import { writeFileSync } from 'node:fs';
import { settingsPage } from './docs/settings-page.ts';
import { root } from './support/paths.ts';

writeFileSync(`${root}/docs/settings.md`, settingsPage());
console.log('wrote docs/settings.md');
