import { rm, writeFile } from 'node:fs/promises';
import type { OwnPostgres } from './servers/own-postgres.ts';

/** Moves a table to a disk of eight megabytes and fills that, for as long as the work takes. */
export async function withDiskFull<T>(
  postgres: OwnPostgres,
  database: string,
  table: string,
  work: () => Promise<T>,
): Promise<T> {
  const disk = await postgres.smallFolder(8);
  const space = `small_${table}`;
  await postgres.sql(`create tablespace ${space} location '${disk.path}'`);
  try {
    // So that its pages have little room left, and new rows need new ones.
    await postgres.sql(`alter table ${table} set (fillfactor = 10)`, database);
    await postgres.sql(`alter table ${table} set tablespace ${space}`, database);
    await postgres.sql(`vacuum full ${table}`, database);
    await fill(disk.ballast);
    return await work();
  } finally {
    await rm(disk.ballast, { force: true });
    await postgres.sql(`alter table ${table} reset (fillfactor)`, database);
    await postgres.sql(`alter table ${table} set tablespace pg_default`, database);
    await postgres.sql(`drop tablespace ${space}`);
    await disk.remove();
  }
}

/** Writes until there is no room left. */
async function fill(path: string): Promise<void> {
  for (let size = 1 << 16; size > 0; size >>= 1) {
    for (;;) {
      try {
        await writeFile(path, Buffer.alloc(size), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        break;
      }
    }
  }
}
