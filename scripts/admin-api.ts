import { writeFileSync } from 'node:fs';
import { apiDocument, API_FILE } from './docs/api-document.ts';

writeFileSync(API_FILE, apiDocument());
console.log('wrote docs/admin-api.json');
