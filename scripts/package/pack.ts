import { mkdirSync, rmSync } from 'node:fs';
import { capture } from '../support/command.ts';
import { cache } from '../support/paths.ts';

export interface Packed {
  readonly tarball: string;
  readonly files: readonly { readonly path: string; readonly size: number; readonly mode: number }[];
}

/** Packs dist as it would be published. */
export async function pack(): Promise<Packed> {
  const folder = `${cache}/package`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const answer = await capture(['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder]);
  const report: unknown = JSON.parse(answer);
  // npm answers with a list, newer ones with an object by package name
  const [packed] = Object.values(report as Record<string, { filename: string; files: Packed['files'] }>);
  return { tarball: `${folder}/${packed!.filename}`, files: packed!.files };
}
