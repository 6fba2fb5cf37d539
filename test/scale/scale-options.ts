/** What every kind of `npm run test:scale` is given. */
export interface ScaleOptions {
  readonly rows: number;
  readonly say: (line: string) => void;
}
