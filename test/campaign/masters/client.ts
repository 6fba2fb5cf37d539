import { type EntityManager, type MikroORM, TransactionContext } from '@mikro-orm/postgresql';
import { Person } from './entities.ts';
import type { CaptureMode } from './mode.ts';
import { operationNamed } from './operations/index.ts';
import type { Part, Program } from './program.ts';
import { Random } from './random.ts';

/** Given up on purpose. */
class GivenUp extends Error {}

/** Runs programs, one after the other. */
export class Client {
  #savepoints = 0;

  constructor(
    private readonly orm: MikroORM,
    private readonly parts: {
      /** Where other programs would connect. */
      readonly url: string;
      readonly mode: CaptureMode;
      /** How often it was told so far that raw SQL is not captured. */
      readonly told: () => number;
    },
  ) {}

  /** @returns whether it was committed @throws what ended it, but for its own giving up */
  async run(program: Program): Promise<boolean> {
    const em = this.orm.em.fork() as EntityManager;
    const { tenant, isolation: isolationLevel } = program;
    if (tenant !== undefined) {
      em.addFilter({ name: 'tenant', cond: { tenant }, entity: [Person], default: true } as never);
    }
    const body = async (inside: EntityManager): Promise<void> => {
      await this.#parts(program, program.body, inside, inside);
      if (program.fails) throw new GivenUp();
    };
    try {
      if (program.style === 'no transaction') await this.#parts(program, program.body, em, em);
      else if (program.style === 'transactional') await em.transactional(body, { isolationLevel });
      else await byHand(em, () => body(em), isolationLevel);
      return true;
    } catch (error) {
      if (error instanceof GivenUp) return false;
      throw error;
    }
  }

  async #parts(program: Program, parts: readonly Part[], em: EntityManager, outer: EntityManager): Promise<void> {
    for (const part of parts) {
      if (part.kind === 'step') {
        await this.#step(program, part, part.through === 'outer' ? outer : em);
      } else if (part.kind === 'nested') await this.#nested(program, part, em);
      else await this.#parallel(program, part, em);
    }
  }

  async #step(program: Program, { number, operation }: Part & { kind: 'step' }, em: EntityManager): Promise<void> {
    const { url, mode, told } = this.parts;
    const { kind, run } = operationNamed(operation);
    const before = told();
    const random = Random.of(...program.path, number);
    const rows = await run({ em, random, note: `${program.name}.${number}`, url, mode });
    const changed = Array.isArray(rows) && rows.length > 0;
    if (mode.tells.has(kind) && changed && told() === before)
      throw new Error(`${kind} is not captured, and nothing was told of it`);
  }

  async #nested(program: Program, part: Part & { kind: 'nested' }, em: EntityManager): Promise<void> {
    const body = async (inside: EntityManager): Promise<void> => {
      await this.#parts(program, part.body, inside, em);
      if (part.fails) throw new GivenUp();
    };
    try {
      if (part.style === 'by hand' && TransactionContext.getEntityManager() === undefined) {
        // of its own: the end of a transaction takes the context from the EntityManager that began it
        const inside = em.fork({ keepTransactionContext: true });
        await byHand(inside, () => body(inside));
      } else if (part.style !== 'raw savepoint') await em.transactional(body);
      // inside em.transactional() a fork that begins by hand begins another transaction, on another connection
      else await this.#rawSavepoint(em, () => body(em));
    } catch (error) {
      if (!(error instanceof GivenUp)) throw error;
    }
  }

  async #parallel(program: Program, part: Part & { kind: 'parallel' }, em: EntityManager): Promise<void> {
    const ends = await Promise.allSettled(
      part.bodies.map((body, index) =>
        em.transactional(async (inside) => {
          await this.#parts(program, body, inside as EntityManager, em);
          if (index === part.failing) throw new GivenUp();
        }),
      ),
    );
    for (const end of ends) {
      if (end.status === 'rejected' && !(end.reason instanceof GivenUp)) throw end.reason;
    }
  }

  /** As somebody writes it who does not trust the EntityManager with it. */
  async #rawSavepoint(em: EntityManager, body: () => Promise<void>): Promise<void> {
    const name = `own_${this.#savepoints++}`;
    await em.execute(`SAVEPOINT ${name}`);
    try {
      await body();
    } catch (error) {
      await em.execute(`ROLLBACK TO SAVEPOINT ${name}`);
      throw error;
    }
    await em.execute(`RELEASE SAVEPOINT ${name}`);
  }
}

async function byHand(
  em: EntityManager,
  body: () => Promise<void>,
  isolationLevel?: Program['isolation'],
): Promise<void> {
  await em.begin({ isolationLevel });
  try {
    await body();
    await em.commit();
  } catch (error) {
    await em.rollback();
    throw error;
  }
}
