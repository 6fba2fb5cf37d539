/** What every kind of `npm run test:scale` is given. */
export interface ScaleOptions {
  readonly rows: number;
  /** What Node may take for a command's heap; default: what Node thinks right for the machine. */
  readonly heapMb?: number | undefined;
  readonly say: (line: string) => void;
}
