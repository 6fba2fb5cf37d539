import type { Finding } from '../../kernel/errors.js';
import type { ServiceQueues } from '../../messaging/transport/transport.js';
import { ENOUGH_DELIVERIES } from './topology.js';

/** A queue as the broker has it: what it was declared with, and what policies add. */
export interface QueueFacts {
  readonly name: string;
  readonly type: string;
  /** `x-…`, as it was declared. */
  readonly arguments: Readonly<Record<string, unknown>>;
  /** The one policy that counts, and the one of the broker's operator, which limits it further. */
  readonly policy: PolicyFacts | null;
  readonly operatorPolicy: PolicyFacts | null;
}

export interface PolicyFacts {
  readonly name: string;
  readonly definition: Readonly<Record<string, unknown>>;
}

/**
 * What would make the broker drop messages of a service, by the arguments and policies of its queues. Pure.
 *
 * | queue            | lost                                                             | told                                      |
 * |------------------|------------------------------------------------------------------|-------------------------------------------|
 * | the work queue   | a limit without its dead-letter queue behind it; `expires`       | a limit with it: moves what nobody has read |
 * | dead, unreadable | `message-ttl`, `max-length` with drop-head, `delivery-limit`, `expires` |                                    |
 * | waiting rooms    | `expires` below their own                                        |                                           |
 */
export function judgeQueues(
  facts: readonly QueueFacts[],
  { queue, deadLetterQueue, unreadableQueue }: ServiceQueues,
  { vhost, version }: { readonly vhost: string; readonly version: string },
): Finding[] {
  return facts.flatMap((one) => {
    const limits = limitsOf(one, version);
    if (one.name === queue) return judgeWorkQueue(one, limits, { deadLetterQueue, vhost });
    if (one.name === deadLetterQueue) return limits.map((limit) => lost(one, limit, 'dead letters', vhost));
    if (one.name === unreadableQueue) return limits.map((limit) => lost(one, limit, 'unreadable bodies', vhost));
    return limits.filter((limit) => shortensWait(one, limit)).map((limit) => lost(one, limit, 'retries', vhost));
  });
}

/** The policy under which what the broker drops of a work queue is kept. */
export function keepingPolicy(queue: string, deadLetterQueue: string, vhost = '/'): string {
  const definition = { 'dead-letter-exchange': '', 'dead-letter-routing-key': deadLetterQueue };
  return setPolicy(queue, vhost, JSON.stringify(definition));
}

function setPolicy(queue: string, vhost: string, definition: string, priority?: number): string {
  const pattern = `^${queue.replace(/[^\w-]/g, '\\$&')}$`;
  const where = vhost === '/' ? '' : ` -p '${vhost}'`;
  const over = priority === undefined ? '' : ` --priority ${priority}`;
  return `rabbitmqctl set_policy${where}${over} --apply-to queues '${queue}' '${pattern}' '${definition}'`;
}

interface Limit {
  readonly key: string;
  readonly value: number;
  readonly from: Source;
}
type Source = 'arguments' | 'policy' | 'operator policy' | 'default';

const NUMBERS = ['delivery-limit', 'message-ttl', 'max-length', 'max-length-bytes', 'expires'] as const;
/** Of quorum queues, where none is given, from RabbitMQ 4.0 on. */
const DEFAULT_DELIVERY_LIMIT = 20;

/** The limits at which the broker drops messages. Of several numbers for one limit the lowest counts. */
function limitsOf(facts: QueueFacts, version: string): Limit[] {
  const rejects = textOf(facts, 'overflow')?.startsWith('reject-publish') ?? false;
  return NUMBERS.flatMap((key): Limit[] => {
    if (key === 'delivery-limit' && facts.type !== 'quorum') return [];
    if (key.startsWith('max-length') && rejects) return [];
    const given = sourcesOf(facts, key).filter((one): one is Limit => typeof one.value === 'number');
    const [lowest] = given.toSorted((a, b) => a.value - b.value);
    const none = lowest && (lowest.value < 0 || (key === 'delivery-limit' && lowest.value >= ENOUGH_DELIVERIES));
    if (lowest) return none ? [] : [lowest];
    return key === 'delivery-limit' && Number.parseInt(version, 10) >= 4
      ? [{ key, value: DEFAULT_DELIVERY_LIMIT, from: 'default' }]
      : [];
  });
}

function sourcesOf(
  { arguments: args, policy, operatorPolicy }: QueueFacts,
  key: string,
): { key: string; value: unknown; from: Source }[] {
  return [
    { key, value: args[`x-${key}`], from: 'arguments' as const },
    { key, value: operatorPolicy?.definition[key], from: 'operator policy' as const },
    { key, value: policy?.definition[key], from: 'policy' as const },
  ].filter(({ value }) => value !== undefined && value !== null);
}

/** Of texts the first counts. */
function textOf(facts: QueueFacts, key: string): string | undefined {
  const [first] = sourcesOf(facts, key);
  return typeof first?.value === 'string' ? first.value : undefined;
}

function judgeWorkQueue(
  facts: QueueFacts,
  limits: readonly Limit[],
  { deadLetterQueue, vhost }: { readonly deadLetterQueue: string; readonly vhost: string },
): Finding[] {
  const exchange = textOf(facts, 'dead-letter-exchange');
  const kept = exchange === '' && textOf(facts, 'dead-letter-routing-key') === deadLetterQueue;
  return limits.flatMap((limit): Finding[] => {
    if (limit.key === 'expires') return [lost(facts, limit, 'messages', vhost)];
    const where = `the queue ${facts.name}`;
    if (!kept) {
      const gone =
        exchange === undefined ? 'lost without a word' : `sent to the exchange '${exchange}', where nobody here looks`;
      const by = facts.policy === null ? keepingPolicy(facts.name, deadLetterQueue, vhost) : undefined;
      const cure = by === undefined || exchange !== undefined ? cureOf(facts, limit, vhost, deadLetterQueue) : by;
      return [{ severity: 'problem', where, what: `${said(facts, limit)}: ${drops(limit)}, and are ${gone}.`, cure }];
    }
    // A message that no worker gets done with belongs there.
    if (limit.key === 'delivery-limit') return [];
    const what = `${said(facts, limit)}: ${drops(limit)}, though nobody has read them, and go to ${deadLetterQueue}.`;
    return [{ severity: 'advice', where, what, cure: cureOf(facts, limit, vhost, deadLetterQueue) }];
  });
}

function lost(facts: QueueFacts, limit: Limit, kind: string, vhost: string): Finding {
  const what =
    limit.key === 'expires'
      ? `${said(facts, limit)}: the broker removes it, with all ${kind} in it, when nobody has used it for ${time(limit.value)}.`
      : `${said(facts, limit)}: ${drops(limit, kind)}, and are lost.`;
  return { severity: 'problem', where: `the queue ${facts.name}`, what, cure: cureOf(facts, limit, vhost) };
}

/** A waiting room has limits of its own; whoever shortens its life loses the retries that wait in it. */
function shortensWait({ arguments: args }: QueueFacts, { key, value }: Limit): boolean {
  const own = args['x-expires'];
  return key === 'expires' && typeof own === 'number' && value < own;
}

function said({ policy, operatorPolicy }: QueueFacts, { key, value, from }: Limit): string {
  const by = {
    arguments: 'its arguments',
    policy: `the policy '${policy?.name}'`,
    'operator policy': `the operator policy '${operatorPolicy?.name}'`,
    default: "RabbitMQ's default for quorum queues",
  }[from];
  return `${key} is ${value} by ${by}`;
}

function drops({ key, value }: Limit, kind = 'messages'): string {
  if (key === 'delivery-limit') return `${kind} leave it after ${value} deliveries`;
  if (key === 'message-ttl') return `${kind} leave it after ${time(value)}`;
  return `the oldest ${kind} leave it when it is longer than ${value}${key === 'max-length' ? '' : ' bytes'}`;
}

function cureOf(facts: QueueFacts, { key, from }: Limit, vhost: string, deadLetterQueue?: string): string {
  if (from === 'arguments') {
    return 'The arguments of a queue cannot be changed: remove it while it is empty, and its worker makes it anew.';
  }
  if (from === 'operator policy') return `Take ${key} out of the operator policy '${facts.operatorPolicy?.name}'.`;
  const { [key]: _, ...rest } = facts.policy?.definition ?? {};
  const keeping =
    deadLetterQueue === undefined ? {} : { 'dead-letter-exchange': '', 'dead-letter-routing-key': deadLetterQueue };
  const unlimited = from === 'default' ? { 'delivery-limit': -1 } : {};
  const definition = JSON.stringify({ ...rest, ...keeping, ...unlimited });
  if (definition === '{}') return `Leave the queue out of the policy '${facts.policy?.name}'.`;
  return setPolicy(facts.name, vhost, definition, OWN_PRIORITY);
}

/** Of several policies that match a queue the one with the highest number counts. */
const OWN_PRIORITY = 100;

function time(milliseconds: number): string {
  return milliseconds < 1_000 ? `${milliseconds} ms` : `${Math.round(milliseconds / 1_000)} s`;
}
