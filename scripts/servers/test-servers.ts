import { startContainer } from './container.ts';
import { startDebianPackage } from './debian.ts';
import { locate, withoutPassword, type Located, type Machine } from './locate.ts';
import { probe } from './probe.ts';
import { postgres, rabbitmq } from './service.ts';

export interface TestServers {
  readonly databaseUrl: string;
  readonly amqpUrl: string;
  /** For a program that reads the URLs from its environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** PostgreSQL and RabbitMQ, found or started. Prints one line that says which. */
export async function testServers(say: (line: string) => void = (line) => console.log(line)): Promise<TestServers> {
  const machine: Machine = {
    env: process.env,
    probe,
    startContainer: (service) => startContainer(service, say),
    startDebianPackage: (service) => startDebianPackage(service, say),
  };
  const database = await locate(postgres, machine);
  const broker = await locate(rabbitmq, machine);
  say(`servers: ${describe(database)} · ${describe(broker)}`);
  return {
    databaseUrl: database.url,
    amqpUrl: broker.url,
    env: { [postgres.variable]: database.url, [rabbitmq.variable]: broker.url },
  };
}

function describe({ service, version, url }: Located): string {
  return `${service.label} ${version} (${withoutPassword(url)})`;
}
