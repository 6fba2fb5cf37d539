import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdmin, toNodeHandler } from 'mikro-orm-cqrs/admin';
import type { DemoService } from './services.ts';

export interface AdminPage extends AsyncDisposable {
  readonly url: string;
}

/**
 * The admin page of one service, on this machine alone. Whoever opens it is an operator, for the demo forgets everything
 * when it ends; a real `authorize` looks at the session of whoever asks.
 */
export async function openAdminPage({ cqrs }: DemoService): Promise<AdminPage> {
  const admin = createAdmin(cqrs, { authorize: () => ({ user: 'you', role: 'operator' }) });
  const server = createServer(toNodeHandler(admin));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      await admin.stop();
      server.closeAllConnections();
      server.close();
    },
  };
}
