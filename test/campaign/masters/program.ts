import { IsolationLevel } from '@mikro-orm/postgresql';
import { Random } from './random.ts';

/**
 * What one transaction does, decided before it begins: the same seed gives the same programs, and each step its own
 * stream of choices. What the others do meanwhile is not decided: the order in which statements of several clients reach
 * the database differs from run to run.
 */
export interface Program {
  /** `client.transaction` of a round. */
  readonly name: string;
  readonly path: readonly number[];
  readonly style: 'no transaction' | 'transactional' | 'by hand';
  readonly isolation?: IsolationLevel;
  /** Only rows of one tenant are seen, by a filter of the EntityManager. */
  readonly tenant?: string;
  readonly body: readonly Part[];
  /** Whether it gives up at its end. */
  readonly fails: boolean;
}

export type Part =
  | { readonly kind: 'step'; readonly number: number; readonly operation: string; readonly through: 'own' | 'outer' }
  | {
      readonly kind: 'nested';
      readonly style: 'transactional' | 'by hand' | 'raw savepoint';
      readonly body: readonly Part[];
      readonly fails: boolean;
    }
  | { readonly kind: 'parallel'; readonly bodies: readonly (readonly Part[])[]; readonly failing: number };

export interface Weighted {
  readonly name: string;
  readonly weight: number;
}

const MOST_LEVELS = 3;

export function programOf(path: readonly number[], operations: readonly Weighted[]): Program {
  const random = Random.of(...path);
  const choices = operations.map(({ name, weight }) => ({ weight, value: name }));
  let number = 0;
  const step = (level: number): Part => ({
    kind: 'step',
    number: number++,
    operation: random.weighted(choices),
    through: level > 0 && random.chance(0.15) ? 'outer' : 'own',
  });
  const steps = (level: number, most: number): Part[] =>
    Array.from({ length: 1 + random.int(most) }, () =>
      random.chance(level < MOST_LEVELS ? 0.25 : 0) ? nested(level + 1) : step(level),
    );
  const nested = (level: number): Part => {
    if (random.chance(0.1)) {
      const bodies = Array.from({ length: 2 + random.int(2) }, () => [step(level)]);
      return { kind: 'parallel', bodies, failing: random.chance(0.5) ? random.int(bodies.length) : -1 };
    }
    const style = random.weighted([
      { weight: 6, value: 'transactional' as const },
      { weight: 2, value: 'by hand' as const },
      { weight: 2, value: 'raw savepoint' as const },
    ]);
    return { kind: 'nested', style, body: steps(level, 2), fails: random.chance(0.35) };
  };
  const style = random.weighted([
    { weight: 3, value: 'no transaction' as const },
    { weight: 6, value: 'transactional' as const },
    { weight: 2, value: 'by hand' as const },
  ]);
  const [, client, transaction] = path.slice(-3);
  return {
    name: `${client}.${transaction}`,
    path,
    style,
    isolation: random.chance(0.3)
      ? random.pick([IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
      : undefined,
    tenant: random.chance(0.15) ? random.pick(['a', 'b']) : undefined,
    body: style === 'no transaction' ? [step(0)] : steps(0, 4),
    fails: random.chance(0.1),
  };
}

/** The program in one line, for whoever looks for what went wrong. */
export function inWords({ style, isolation, tenant, body, fails }: Program): string {
  const parts = (all: readonly Part[]): string =>
    all
      .map((part) => {
        if (part.kind === 'step')
          return `${part.number}:${part.operation}${part.through === 'outer' ? ' (outer em)' : ''}`;
        if (part.kind === 'nested') return `${part.style}[${parts(part.body)}]${part.fails ? ' fails' : ''}`;
        return `parallel[${part.bodies.map(parts).join(' | ')}]${part.failing >= 0 ? ` ${part.failing} fails` : ''}`;
      })
      .join(', ');
  return [style, isolation, tenant && `tenant ${tenant}`, `{ ${parts(body)} }`, fails && 'fails']
    .filter(Boolean)
    .join(' ');
}
