import { run, succeeds } from '../support/command.ts';
import { composeFile } from '../support/paths.ts';
import type { Service } from './service.ts';

/** An engine counts only when it answers: a client without one is common. */
const ENGINES = [
  { answers: ['docker', 'info'], compose: ['docker', 'compose'] },
  { answers: ['docker', 'info'], compose: ['docker-compose'] },
  { answers: ['podman', 'info'], compose: ['podman', 'compose'] },
] as const;

let found: readonly string[] | null | undefined;

/** The words that begin a compose command, or null. */
function compose(): readonly string[] | null {
  found ??=
    ENGINES.find((engine) => succeeds(engine.answers) && succeeds([...engine.compose, 'version']))?.compose ?? null;
  return found;
}

export function startContainer(service: Service, say: (line: string) => void): Promise<void> | undefined {
  const words = compose();
  if (!words) return undefined;
  say(`starting ${service.label} in a container (port ${service.containerPort})`);
  return run([...words, '-f', composeFile, 'up', '-d', '--wait', service.key], { label: `${words.join(' ')} up` });
}
