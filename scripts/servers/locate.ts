import type { Service } from './service.ts';

/** A server that answered a login. */
export interface Located {
  readonly service: Service;
  readonly url: string;
  readonly version: string;
}

export type Answer = { readonly version: string } | { readonly refused: string };

/** What `locate` may ask of the machine it runs on; a test gives it one made of plain values. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Logs in; never throws. */
  probe(service: Service, url: string): Promise<Answer>;
  /** Starts the service in a container; undefined where no engine answers. */
  startContainer(service: Service): Promise<void> | undefined;
  /** Installs and starts the Debian package and answers its login; undefined where that is not possible. */
  startDebianPackage(service: Service): Promise<string> | undefined;
}

/** Neither found nor startable; the text says what a person can do. */
export class ServerMissing extends Error {
  override readonly name = 'ServerMissing';
}

/** The first of: the variable, a server on the standard port, a container, the Debian package. */
export async function locate(service: Service, machine: Machine): Promise<Located> {
  const given = machine.env[service.variable];
  if (given) return named(service, given, machine);

  for (const url of service.loginsOn(service.port)) {
    const found = await tryLogin(service, url, machine);
    if (found) return found;
  }
  const container = machine.startContainer(service);
  if (container) {
    await container;
    return started(service, service.containerLogin, machine);
  }
  const installation = machine.startDebianPackage(service);
  if (installation) return started(service, await installation, machine);

  throw new ServerMissing(
    `The tests need ${service.label}, and none answers on port ${service.port}. One of these helps:\n` +
      `  · start one there (logins tried: ${[...new Set(service.loginsOn(service.port).map(withoutPassword))].join(', ')})\n` +
      `  · set ${service.variable} to the URL of one\n` +
      `  · start a container engine with compose (docker or podman)\n` +
      `  · run as root on Debian or Ubuntu, where the tests install it`,
  );
}

async function named(service: Service, url: string, machine: Machine): Promise<Located> {
  const answer = await machine.probe(service, url);
  if ('version' in answer) return { service, url, version: answer.version };
  throw new ServerMissing(`${service.variable} is set, but ${service.label} does not answer there: ${answer.refused}`);
}

async function started(service: Service, url: string, machine: Machine): Promise<Located> {
  const answer = await machine.probe(service, url);
  if ('version' in answer) return { service, url, version: answer.version };
  throw new ServerMissing(`${service.label} was started, but does not answer: ${answer.refused}`);
}

async function tryLogin(service: Service, url: string, machine: Machine): Promise<Located | undefined> {
  const answer = await machine.probe(service, url);
  return 'version' in answer ? { service, url, version: answer.version } : undefined;
}

/** For people: who and where, never the password. */
export function withoutPassword(url: string): string {
  const parsed = new URL(url);
  return `${parsed.username ? `${decodeURIComponent(parsed.username)}@` : ''}${parsed.host}`;
}
