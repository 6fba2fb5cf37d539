import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/[\\/]$/, '');
export const cache = `${root}/.cache`;
export const composeFile = `${root}/docker-compose.yml`;
