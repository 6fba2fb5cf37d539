import { type ConnectionOptions as TlsOptions, createSecureContext } from 'node:tls';
import * as z from 'zod';
import { ConfigurationError, type Problem } from '../../kernel/errors.js';
import { MISREAD_PASSWORD, mayMisreadPassword } from '../../kernel/url-secrets.js';

/**
 * What `new RabbitMQTransport(options)` takes: the broker by `url`, or by `host` and its companions, and how to talk
 * to it. Everything has a default; alone it means `amqp://guest:guest@localhost:5672/`.
 */
const filled = z.string().min(1);

export const rabbitMQOptionsSchema = z.strictObject({
  url: z
    .union([filled, z.array(filled).min(1)])
    .optional()
    .describe(
      '`amqp://user:password@host:port/vhost` or `amqps://…`; several for fail-over, tried in turn. `?heartbeat=` is understood.',
    ),
  host: filled.optional().describe('Instead of `url`.'),
  port: z.int().min(1).max(65_535).optional().describe('With `host`; default 5672, with TLS 5671.'),
  user: filled.optional().describe('With `host`; default `guest`.'),
  password: z.string().optional().describe('With `host`; default `guest`.'),
  vhost: filled.optional().describe('With `host`; default `/`.'),
  tls: z
    .custom<TlsOptions>(
      (value) => typeof value === 'object' && value !== null,
      'expected the options of node:tls, e.g. { ca }',
    )
    .optional()
    .meta({
      type: 'object',
      description:
        'Options of node:tls, as PEM texts: `ca`, and `cert` and `key` for a client certificate. Wants `amqps://` URLs; with `host` it turns TLS on.',
    }),
  heartbeatSeconds: z
    .int()
    .min(0)
    .max(3_600)
    .default(10)
    .describe('How often the two sides show they are alive; 0 = never.'),
  connectTimeoutMs: z.int().min(1).default(10_000).describe('How long one attempt to reach one host may take.'),
  queueType: z
    .enum(['classic', 'quorum'])
    .default('classic')
    .describe(
      '`classic` queues carry no arguments, so that Python processes may declare them too; `quorum` queues are replicated.',
    ),
  dialect: z
    .enum(['pika', 'kombu'])
    .default('pika')
    .describe('Whose message properties to send: those of django-cqrs over pika or over kombu.'),
  prefetchLimit: z
    .int()
    .min(1)
    .max(65_535)
    .nullable()
    .default(null)
    .describe('Upper bound of `replica.prefetch` for this transport; null = none.'),
  verifySeconds: z
    .number()
    .min(0.1)
    .max(86_400)
    .default(30)
    .describe(
      'How often a worker makes its exchange and bindings again, which others may have removed while it was listening; it then hears again. What was sent meanwhile is not in its queue.',
    ),
  managementUrl: filled
    .nullable()
    .optional()
    .describe(
      "RabbitMQ's management API: `http://host:15672` or `https://…`, without user and password, which are those of the broker. Named, workers look there, every `verifySeconds`, whether a binding was lost. `cqrs doctor` looks there, by default at port 15672 of the first host, with TLS 15671; null: not at all.",
    ),
  connectionName: filled.default('mikro-orm-cqrs').describe("How the connections are called in RabbitMQ's own tools."),
});

export type RabbitMQOptions = z.input<typeof rabbitMQOptionsSchema>;
export type QueueType = 'classic' | 'quorum';
export type Dialect = 'pika' | 'kombu';

/** One host to try. `name` is what events, logs and errors may say. */
export interface BrokerAddress {
  readonly name: string;
  readonly protocol: 'amqp' | 'amqps';
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  readonly heartbeat: number;
}

export interface BrokerOptions {
  readonly addresses: readonly BrokerAddress[];
  readonly tls: TlsOptions | undefined;
  readonly connectTimeoutMs: number;
  readonly connectionName: string;
  readonly queueType: QueueType;
  readonly dialect: Dialect;
  readonly prefetchLimit: number | null;
  readonly verifySeconds: number;
  /** Undefined: where it is by default; null: nowhere. */
  readonly managementUrl?: string | null | undefined;
}

/** @throws ConfigurationError listing every wrong option; never quoting one, as a URL holds a password. */
export function parseRabbitMQOptions(input: RabbitMQOptions): BrokerOptions {
  const parsed = rabbitMQOptionsSchema.safeParse(input);
  if (!parsed.success) {
    throw new ConfigurationError(
      parsed.error.issues.map((issue) => ({
        where: ['transportOptions', ...issue.path].join('.'),
        what: `${issue.message}.`,
        cure: 'See docs/settings.md for what it may be.',
      })),
    );
  }
  const { url, host, port, user, password, vhost, tls, heartbeatSeconds, ...rest } = parsed.data;
  const problems: Problem[] = [];
  if (url !== undefined && [host, port, user, password, vhost].some((part) => part !== undefined)) {
    problems.push({
      where: 'transportOptions.url',
      what: 'it is given beside host, port, user, password or vhost.',
      cure: 'Give one or the other.',
    });
  }
  const byParts = (): BrokerAddress =>
    address({
      protocol: tls ? 'amqps' : 'amqp',
      hostname: host ?? 'localhost',
      port,
      username: user ?? 'guest',
      password: password ?? 'guest',
      vhost: vhost ?? '/',
      heartbeat: heartbeatSeconds,
    });
  const addresses =
    url === undefined
      ? [byParts()]
      : [url].flat().flatMap((one, index) => {
          const where = Array.isArray(url) ? `transportOptions.url.${index}` : 'transportOptions.url';
          if (mayMisreadPassword(one)) {
            problems.push({ where, ...MISREAD_PASSWORD });
            return [];
          }
          const read = readUrl(one, heartbeatSeconds);
          if (typeof read !== 'string') return [read];
          problems.push({ where, what: `${read}.`, cure: 'Write it as amqp://user:password@host:5672/vhost.' });
          return [];
        });
  if (tls && addresses.some(({ protocol }) => protocol === 'amqp')) {
    problems.push({
      where: 'transportOptions.tls',
      what: 'it has no effect on an amqp:// URL.',
      cure: 'Use amqps://.',
    });
  }
  if (tls && !isReadable(tls)) {
    problems.push({
      where: 'transportOptions.tls',
      what: 'its `cert` and `key` cannot be read, or do not belong together.',
      cure: 'Give the contents of the PEM files, not their paths, and the `passphrase` if the key has one.',
    });
  }
  if (rest.managementUrl && !/^https?:\/\/[^/?#@\\]+\/?$/.test(rest.managementUrl)) {
    problems.push({
      where: 'transportOptions.managementUrl',
      what: 'it is not the address of a server alone.',
      cure: 'Write it as http://host:15672, without user, password and path.',
    });
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return { ...rest, tls, addresses };
}

function isReadable(tls: TlsOptions): boolean {
  try {
    createSecureContext(tls);
    return true;
  } catch {
    return false;
  }
}

/** The address, or what is wrong with it. */
function readUrl(text: string, heartbeatSeconds: number): BrokerAddress | string {
  const url = URL.parse(text);
  if (!url) return 'it is not a URL';
  if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') return 'its scheme is neither amqp nor amqps';
  if (!url.hostname) return 'it names no host';
  if ([...url.searchParams.keys()].some((key) => key !== 'heartbeat')) return "it has a parameter beside 'heartbeat'";
  const heartbeat = Number(url.searchParams.get('heartbeat') ?? heartbeatSeconds);
  if (!Number.isInteger(heartbeat) || heartbeat < 0)
    return "its parameter 'heartbeat' is not a whole number of seconds";
  try {
    const named = url.username !== '' || url.password !== '';
    return address({
      protocol: url.protocol === 'amqps:' ? 'amqps' : 'amqp',
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port ? Number(url.port) : undefined,
      username: named ? decodeURIComponent(url.username) : 'guest',
      password: named ? decodeURIComponent(url.password) : 'guest',
      // django-cqrs over pika throws the path away and always uses '/'. A path that is there was meant, so it counts
      // here as it does over kombu.
      vhost: decodeURIComponent(url.pathname.slice(1)) || '/',
      heartbeat,
    });
  } catch {
    return 'it holds a percent sign that stands for nothing; write it as %25';
  }
}

function address(parts: Omit<BrokerAddress, 'name' | 'port'> & { port: number | undefined }): BrokerAddress {
  const port = parts.port ?? (parts.protocol === 'amqps' ? 5671 : 5672);
  const host = parts.hostname.includes(':') ? `[${parts.hostname}]` : parts.hostname;
  const vhost = parts.vhost === '/' ? '' : encodeURIComponent(parts.vhost);
  return { ...parts, port, name: `${parts.protocol}://${host}:${port}/${vhost}` };
}
