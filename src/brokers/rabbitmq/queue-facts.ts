import { execFile } from 'node:child_process';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isNativeError } from 'node:util/types';
import { promisify } from 'node:util';
import type { ServiceQueues } from '../../messaging/transport/transport.js';
import type { BrokerAddress, BrokerOptions } from './options.js';
import type { PolicyFacts, QueueFacts } from './queue-policies.js';

/**
 * Arguments and policies of queues, which AMQP does not tell: by the management API, else by `rabbitmqctl` where the broker is
 * on this machine. Both are asked with what the service has; neither changes anything.
 */
export interface FoundFacts {
  /** Who told. */
  readonly by: string;
  /** The broker's version. */
  readonly version: string;
  readonly vhost: string;
  /** Of those queues that exist. */
  readonly queues: readonly QueueFacts[];
}

const ANSWER_MS = 10_000;
/** It starts a virtual machine of its own. */
const COMMAND_MS = 30_000;
/** So many waiting rooms are looked at: there is one for each delay. */
const MOST_WAITING_ROOMS = 100;
const MOST_BYTES = 64 * 1024 * 1024;

/** @returns the facts, or why they cannot be found out */
export async function findQueueFacts(
  options: BrokerOptions,
  queues: ServiceQueues,
): Promise<FoundFacts | { readonly why: string }> {
  const [address] = options.addresses;
  const reasons: string[] = [];
  for (const find of [askManagement, askCommand]) {
    try {
      return await find(address!, options, queues);
    } catch (error) {
      reasons.push(isNativeError(error) ? error.message : 'failed');
    }
  }
  return { why: reasons.join('; ') };
}

async function askManagement(
  address: BrokerAddress,
  { managementUrl, tls }: BrokerOptions,
  { queue, deadLetterQueue, unreadableQueue }: ServiceQueues,
): Promise<FoundFacts> {
  if (managementUrl === null) throw new Error('the management API is not to be asked (managementUrl is null)');
  const base = managementUrl ?? defaultUrl(address);
  const ask = (path: string): Promise<Json | undefined> => getJson(new URL(`api/${path}`, base), address, tls);
  const vhost = encodeURIComponent(address.vhost);
  const overview = await ask('overview');
  const names = [queue, deadLetterQueue, unreadableQueue];
  const found = await Promise.all(names.map((name) => ask(`queues/${vhost}/${encodeURIComponent(name)}`)));
  const pattern = encodeURIComponent(`^${escaped(`${queue}.delay.`)}\\d+$`);
  const page = `page=1&page_size=${MOST_WAITING_ROOMS}&name=${pattern}&use_regex=true`;
  const rooms = await ask(`queues/${vhost}?${page}`);
  const [policies, operatorPolicies] = await Promise.all([
    ask(`policies/${vhost}`),
    ask(`operator-policies/${vhost}`).catch(() => undefined),
  ]);
  const listed = [...found, ...listOf(rooms?.['items'])].filter((one) => one !== undefined);
  return {
    by: 'the management API',
    version: asText(overview?.['rabbitmq_version']),
    vhost: address.vhost,
    queues: listed.map((one) => toFacts(one, listOf(policies), listOf(operatorPolicies))),
  };
}

/**
 * The keys under which an exchange sends to a queue. Only by a management API that was named: workers ask again and again.
 * @returns undefined where none was named
 * @throws when it cannot be asked
 */
export async function findBindings(
  { addresses, managementUrl, tls }: BrokerOptions,
  { queue, exchange }: { readonly queue: string; readonly exchange: string },
): Promise<ReadonlySet<string> | undefined> {
  if (!managementUrl) return undefined;
  const [address] = addresses;
  const [vhost, from, to] = [address!.vhost, exchange, queue].map(encodeURIComponent);
  const url = new URL(`api/bindings/${vhost}/e/${from}/q/${to}`, managementUrl);
  const bindings = await getJson(url, address!, tls);
  return new Set(listOf(bindings).map((binding) => asText(binding['routing_key'])));
}

function defaultUrl({ protocol, hostname }: BrokerAddress): string {
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return protocol === 'amqps' ? `https://${host}:15671/` : `http://${host}:15672/`;
}

type Json = Readonly<Record<string, unknown>>;

function getJson(
  url: URL,
  { username, password }: BrokerAddress,
  tls: BrokerOptions['tls'],
): Promise<Json | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Json | undefined>();
  const fail = (why: string): void => reject(new Error(`the management API at ${url.origin} ${why}`));
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const asked = send(url, { ...tls, auth: `${username}:${password}`, timeout: ANSWER_MS }, (answer) => {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('error', () => fail('broke off'));
    answer.on('end', () => {
      if (answer.statusCode === 404) return resolve(undefined);
      if (answer.statusCode !== 200) return fail(`answers with status ${answer.statusCode}`);
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString()) as Json);
      } catch {
        fail('does not answer with JSON');
      }
    });
  });
  asked.on('timeout', () => asked.destroy(new Error('timeout')));
  asked.on('error', (error: NodeJS.ErrnoException) => fail(`cannot be reached (${error.code ?? 'no answer'})`));
  asked.end();
  return promise;
}

const run = promisify(execFile);

async function askCommand(
  { hostname, port, vhost }: BrokerAddress,
  _: BrokerOptions,
  { queue, deadLetterQueue, unreadableQueue }: ServiceQueues,
): Promise<FoundFacts> {
  if (!['localhost', '127.0.0.1', '::1'].includes(hostname)) {
    throw new Error('rabbitmqctl knows only the broker of its own machine');
  }
  const ask = async (...args: string[]): Promise<unknown> => {
    try {
      const options = { timeout: COMMAND_MS, maxBuffer: MOST_BYTES };
      const { stdout } = await run('rabbitmqctl', ['--quiet', ...args, '--formatter', 'json'], options);
      return JSON.parse(stdout);
    } catch (error) {
      throw new Error(whyNot(error as { code?: unknown; killed?: unknown }), { cause: error });
    }
  };
  const [status, queues, policies, operatorPolicies] = await Promise.all([
    ask('status'),
    ask('list_queues', '--vhost', vhost, 'name', 'type', 'arguments'),
    ask('list_policies', '--vhost', vhost),
    ask('list_operator_policies', '--vhost', vhost),
  ]);
  const { rabbitmq_version: version, listeners } = status as Json;
  if (!listOf(listeners).some((one) => one['port'] === port)) {
    throw new Error(`rabbitmqctl knows a broker that does not listen on port ${port}`);
  }
  const names = new Set([queue, deadLetterQueue, unreadableQueue]);
  const isRoom = new RegExp(`^${escaped(`${queue}.delay.`)}\\d+$`);
  const own = listOf(queues).filter(({ name }) => names.has(String(name)) || isRoom.test(String(name)));
  return {
    by: 'rabbitmqctl',
    version: asText(version),
    vhost,
    queues: own.map((one) => toFacts(one, listOf(policies), listOf(operatorPolicies))),
  };
}

function whyNot({ code, killed }: { code?: unknown; killed?: unknown }): string {
  if (code === 'ENOENT') return 'there is no rabbitmqctl here';
  return killed === true ? 'rabbitmqctl does not answer' : 'rabbitmqctl fails for this user';
}

/** Both ways answer in nearly the same words. */
function toFacts(queue: Json, policies: readonly Json[], operatorPolicies: readonly Json[]): QueueFacts {
  const name = String(queue['name']);
  const args = queue['arguments'];
  return {
    name,
    type: asText(queue['type']).replace(/^rabbit_(\w+)_queue$/, '$1'),
    arguments: Array.isArray(args)
      ? Object.fromEntries((args as [string, string, unknown][]).map(([key, , value]) => [key, value]))
      : ((args ?? {}) as Json),
    // Not as the queue has it: the management API tells that some seconds late.
    policy: policyOf(policies.filter((policy) => matches(policy, name))),
    operatorPolicy: policyOf(operatorPolicies.filter((policy) => matches(policy, name))),
  };
}

function policyOf(policies: readonly Json[]): PolicyFacts | null {
  const [first] = policies.toSorted((a, b) => Number(b['priority']) - Number(a['priority']));
  if (!first) return null;
  const { name, definition } = first;
  return {
    name: String(name),
    definition: (typeof definition === 'string' ? JSON.parse(definition) : definition) as Json,
  };
}

function matches({ pattern, 'apply-to': applyTo }: Json, queue: string): boolean {
  if (applyTo === 'exchanges') return false;
  try {
    return new RegExp(String(pattern)).test(queue);
  } catch {
    return false; // Erlang's expressions know a little more than ours
  }
}

function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? (value as Json[]) : [];
}

function escaped(text: string): string {
  return text.replace(/[^\w-]/g, '\\$&');
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
