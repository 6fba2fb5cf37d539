import { ServerMissing } from '../servers/locate.ts';
import { CommandFailed } from './command.ts';

/** Runs a script's work: failures that a person can mend are told without a stack. */
export async function explaining(work: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (error) {
    if (!(error instanceof ServerMissing || error instanceof CommandFailed)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
