import { defineEntity, p } from '@mikro-orm/core';
import { masterClass, MasterEntity } from '../../../../src/replication/master/definition/master-entity.js';
import { TransportPayload } from '../../../../src/wire/payload.js';
import type { Received } from '../../../../src/messaging/inbox/handler.js';
import { liftSequence } from '../../../../src/messaging/outbox/incarnations.js';
import { setClock, SETTABLE_CLOCK } from '../../../support/clock.js';
import { type MasterService, masterService } from '../../../support/master-service.js';
import { type Announced, type Master, ROWS, type Step } from './masters.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string(), matches: p.boolean().default(true) },
});
export class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_FIELDS = ['id', 'name'] as const;

  override isSyncInstance(): boolean {
    return this.matches;
  }
}
AccountSchema.setClass(Account);

/** Everything in the outbox, in the order of the commits, as it reaches a replica; afterwards the outbox is empty. */
export async function takeMessages(service: MasterService): Promise<Received[]> {
  const waiting = await service.take();
  return waiting.map(({ body }) => ({
    payload: TransportPayload.fromMessage(body),
    committedAt: null,
    direct: false,
    expired: false,
  }));
}

/** Runs the steps with MikroORM on PostgreSQL; two steps of different writers that follow each other run at once. */
export class RealMaster implements Master {
  #names = 0;
  #ahead = 0;

  private constructor(private readonly service: MasterService) {}

  static async start(): Promise<RealMaster> {
    return new RealMaster(await masterService([Account], { before: SETTABLE_CLOCK }));
  }

  async stop(): Promise<void> {
    await this.service[Symbol.asyncDispose]();
  }

  async run(steps: readonly Step[], firstKey: number): Promise<Announced> {
    const lost = new Set<number>();
    for (let at = 0; at < steps.length; at++) {
      const together = [steps[at]!];
      const next = steps[at + 1];
      const apart = next && !touched(next).some((row) => touched(together[0]!).includes(row));
      if (next && apart && next.writer !== together[0]!.writer) {
        together.push(next);
        at++;
      }
      await Promise.all(together.map((step) => this.#take(step, firstKey, lost)));
    }
    const found = await this.#rows(firstKey);
    for (const key of lost) {
      const row = found.find(({ id }) => id === key);
      if (!row) await this.#insert(key);
      else if (!row.matches) await this.#sync(key);
    }
    const rows = (await this.#rows(firstKey)).filter((row) => row.matches).map((row) => [row.id, row.name] as const);
    return { messages: await takeMessages(this.service), rows: new Map(rows) };
  }

  async #take({ kind, row, other, wait }: Step, firstKey: number, lost: Set<number>): Promise<void> {
    const key = firstKey + row;
    const em = this.service.orm.em.fork();
    const account = await em.findOne(Account, key);
    if (kind === 'clock') {
      await liftSequence(this.service.orm.em.getConnection().getClient() as never, '"cqrs_outbox_id_seq"');
      this.#ahead -= 1 + 10 * wait;
      await this.service.sql(setClock(this.#ahead));
      return;
    }
    if (kind === 'create') return account ? undefined : this.#insert(key);
    if (!account) return;
    switch (kind) {
      case 'tie': // numbered rows have none
        return;
      case 'update':
        account.name = this.#nextName();
        return em.flush();
      case 'leave':
      case 'enter':
        account.name = this.#nextName();
        account.matches = kind === 'enter';
        return em.flush();
      case 'delete':
        return em.remove(account).flush();
      case 'replace':
        return em.transactional(async (inner) => {
          const { matches } = account;
          await inner.nativeDelete(Account, key);
          await inner.insert(Account, { id: key, name: this.#nextName(), matches } as never);
        });
      case 'move': {
        const target = firstKey + other;
        if (await em.count(Account, { id: target })) return;
        await em.nativeUpdate(Account, { id: key }, { id: target } as never);
        return;
      }
      case 'lose':
        lost.add(key);
        await this.service.sql(`delete from account where id = ${key} /* cqrs */`);
        return;
      case 'sync':
        return this.#sync(key);
      case 'bulk':
        await em.nativeUpdate(Account, { id: { $gte: firstKey, $lt: firstKey + ROWS } }, { name: this.#nextName() });
        return;
      case 'restore':
        return;
    }
  }

  async #insert(key: number): Promise<void> {
    const em = this.service.orm.em.fork();
    em.create(Account, { id: key, name: this.#nextName(), matches: true } as never);
    await em.flush();
  }

  async #sync(key: number): Promise<void> {
    const em = this.service.orm.em.fork();
    await (await em.findOneOrFail(Account, key)).cqrsSync({ em });
  }

  #rows(firstKey: number): Promise<{ id: number; name: string; matches: boolean }[]> {
    return this.service.sql(
      `select id, name, matches from account where id >= ${firstKey} and id < ${firstKey + ROWS}`,
    );
  }

  #nextName(): string {
    return `n${this.#names++}`;
  }
}

function touched({ kind, row, other }: Step): number[] {
  return kind === 'move' ? [row, other] : [row];
}
