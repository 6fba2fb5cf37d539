import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { createAdmin } from '../admin/admin.js';
import { toNodeHandler } from '../admin/node.js';
import { TokenGate } from '../admin/http/token-gate.js';
import { UsageError, wholeNumber, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { loadService, LOG_OPTIONS, SERVICE_OPTIONS, startLog } from './service.js';
import { aborted, onShutdown } from './shutdown.js';

const DEFAULT_PORT = 8790;

export const ADMIN_OPTIONS = {
  port: { type: 'string', short: 'p', value: '<port>', help: `Default ${DEFAULT_PORT}; 0 takes a free one.` },
  'read-only': { type: 'boolean', help: 'Look, and do nothing.' },
  open: { type: 'boolean', help: 'Open it in the browser.' },
  ...LOG_OPTIONS,
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs admin`: the admin page of the service, on this machine alone. */
export async function admin(values: Values<typeof ADMIN_OPTIONS>): Promise<number> {
  const port = wholeNumber('port', values.port, 0) ?? DEFAULT_PORT;
  if (port > 65_535) throw new UsageError('--port must be at most 65535.');
  const signal = onShutdown();
  await using service = await loadService(values);
  const { cqrs } = service;
  using _log = startLog(cqrs, values);
  await cqrs.check();
  let address = '';
  const gate: TokenGate = new TokenGate({
    onToken: (path) => console.log(`Used. For another browser: ${address}${path}`),
    hosts: () => ['127.0.0.1', 'localhost'].map((host) => `${host}:${portOf(server)}`),
    cookie: () => `cqrs_admin_${portOf(server)}`,
  });
  const user = { user: userName(), role: values['read-only'] ? ('read-only' as const) : ('operator' as const) };
  const page = createAdmin(cqrs, {
    authorize: (request) => (gate.knows(request) ? user : null),
    readOnly: values['read-only'] === true,
  });
  const gated = Object.assign((request: Request, native?: unknown) => gate.handle(request, page, native), page);
  const server = createServer(toNodeHandler(gated));
  await listen(server, port);
  address = `http://127.0.0.1:${portOf(server)}`;
  cqrs.joinAs('admin');
  console.log(`The admin page, for one browser: ${address}${gate.path}`);
  if (values.open) openBrowser(`${address}${gate.path}`);
  await aborted(signal);
  await page.stop();
  server.close();
  server.closeAllConnections();
  return Exit.done;
}

async function listen(server: Server, port: number): Promise<void> {
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject).listen(port, '127.0.0.1', listening.resolve);
  try {
    await listening.promise;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new UsageError(`Port ${port} is taken; name another with --port, or 0 for a free one.`, { cause: error });
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'operator'; // a container whose user has no name
  }
}

function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['cmd', '/c', 'start', '', url]
        : ['xdg-open', url];
  // Where there is no browser the address on the terminal is all there is.
  spawn(command!, args, { stdio: 'ignore', detached: true })
    .once('error', () => {})
    .unref();
}
