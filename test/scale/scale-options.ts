import type { ScaleTable } from './service/service.js';

/** What every kind of `npm run test:scale` is given. */
export interface ScaleOptions {
  readonly rows: number;
  readonly table: ScaleTable;
  readonly say: (line: string) => void;
}
