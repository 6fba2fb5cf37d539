import { describe, expect, test } from '@jest/globals';
import { parseClusters } from '../../scripts/servers/debian.ts';
import { locate, withoutPassword, type Machine } from '../../scripts/servers/locate.ts';
import { postgres, rabbitmq } from '../../scripts/servers/service.ts';

/** A machine where exactly these URLs answer a login. */
function machine(answering: readonly string[], more: Partial<Machine> = {}): Machine & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    env: {},
    probe: async (_service, url) => {
      asked.push(url);
      return answering.includes(url) ? { version: '15.1' } : { refused: 'connection refused' };
    },
    startContainer: () => undefined,
    startDebianPackage: () => undefined,
    ...more,
  };
}

const never = (): never => {
  throw new Error('must not be started');
};

describe('where the test servers are looked for', () => {
  test('the variable wins, and nothing else is tried', async () => {
    const url = 'postgresql://me:secret@db.example:6000/x';
    const there = machine([url], {
      env: { CQRS_TEST_DATABASE_URL: url },
      startContainer: never,
      startDebianPackage: never,
    });
    expect(await locate(postgres, there)).toMatchObject({ url, version: '15.1' });
    expect(there.asked).toEqual([url]);
  });

  test('a variable that leads nowhere is an error without its password, never a fallback', async () => {
    const env = { CQRS_TEST_AMQP_URL: 'amqp://me:secret@mq.example' };
    const error = await locate(rabbitmq, machine(rabbitmq.loginsOn(rabbitmq.port), { env })).catch(
      (thrown: Error) => thrown,
    );
    expect(error).toMatchObject({ name: 'ServerMissing' });
    expect(String(error)).toContain(
      'CQRS_TEST_AMQP_URL is set, but RabbitMQ does not answer there: connection refused',
    );
    expect(String(error)).not.toContain('secret');
  });

  test('a server on the standard port: first without a password, then with the usual one', async () => {
    const [trust, password] = postgres.loginsOn(postgres.port);
    const there = machine([password!], { startContainer: never, startDebianPackage: never });
    expect(await locate(postgres, there)).toMatchObject({ url: password });
    expect(there.asked).toEqual([trust, password]);
  });

  test('a container where an engine answers, before anything is installed', async () => {
    const started: string[] = [];
    const there = machine([postgres.containerLogin], {
      startContainer: async (service) => void started.push(service.key),
      startDebianPackage: never,
    });
    expect(await locate(postgres, there)).toMatchObject({ url: postgres.containerLogin });
    expect(started).toEqual(['postgres']);
  });

  test('the Debian package, where there is no engine', async () => {
    const url = 'postgresql://cqrs_test:x@127.0.0.1:5432/postgres';
    const there = machine([url], { startDebianPackage: async () => url });
    expect(await locate(postgres, there)).toMatchObject({ url });
  });

  test('a server that was started and stays silent is an error of its own', async () => {
    const there = machine([], { startContainer: async () => {} });
    await expect(locate(rabbitmq, there)).rejects.toThrow('RabbitMQ was started, but does not answer');
  });

  test('nothing at all: one error that says what helps', async () => {
    const error = await locate(postgres, machine([])).catch((thrown: Error) => thrown);
    expect(String(error)).toContain('CQRS_TEST_DATABASE_URL');
    expect(String(error)).toContain('container engine');
    expect(String(error)).toContain('Debian');
    expect(String(error)).not.toContain('postgres:postgres');
  });
});

test('a URL is shown without its password', () => {
  expect(withoutPassword('amqps://me:secret@mq.example:5671/vhost')).toBe('me@mq.example:5671');
});

test('clusters are read from pg_lsclusters', () => {
  const text =
    '15 main 5432 online,recovery postgres /var/lib/postgresql/15/main /var/log/a.log\n17 other 5433 down postgres /x /y\n';
  expect(parseClusters(text)).toEqual([
    { version: '15', name: 'main', port: 5432, online: true },
    { version: '17', name: 'other', port: 5433, online: false },
  ]);
});
