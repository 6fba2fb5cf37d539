import { describe, expect, test } from '@jest/globals';
import {
  defineEntity,
  EntityManager,
  type EventSubscriber,
  MikroORM,
  type Options,
  p,
  type TransactionEventArgs,
} from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const names = async (service: MasterService): Promise<unknown[]> =>
  (await service.take()).map((one) => one.data['name']);

describe('several in one process', () => {
  test('two Cqrs with two MikroORMs keep apart, though they share the entity', async () => {
    await using first = await masterService([Account]);
    await using second = await masterService([Account], { settings: { master: { metaFunction: () => 'second' } } });
    const [one, two] = [first.orm.em.fork(), second.orm.em.fork()];
    await one.transactional(async (em) => {
      await em.insert(Account, { name: 'one' });
      await two.insert(Account, { name: 'two' });
    });
    await second.cqrs.withoutReplication(() => one.insert(Account, { name: 'also one' }));
    expect(await first.take()).toMatchObject([{ data: { name: 'one' }, meta: {} }, { data: { name: 'also one' } }]);
    expect(await second.take()).toMatchObject([{ data: { name: 'two' }, meta: 'second' }]);
    expect(first.cqrs.masters).not.toBe(second.cqrs.masters);
  });

  test('an entity is written by the EntityManager it belongs to', async () => {
    await using first = await masterService([Account]);
    await using second = await masterService([Account]);
    const account = first.orm.em.fork().create(Account, { name: 'ada' });
    await Account.cqrs(second.orm.em.fork()).bulkCreate([{ name: 'eve' }]);
    expect(await account.toCqrsDict({ em: first.orm.em })).toMatchObject({ name: 'ada' });
    expect([await names(first), await names(second)]).toEqual([[], ['eve']]);
  });

  test('one Cqrs with two MikroORMs is refused', async () => {
    await using service = await masterService([Account]);
    await expect(MikroORM.init({ dbName: 'unused', entities: [Account], extensions: [service.cqrs] })).rejects.toThrow(
      /Cqrs: it already belongs to a MikroORM\. Make one Cqrs for each MikroORM\./,
    );
  });

  test('a Cqrs without a MikroORM, and a master without a Cqrs, say what to do', async () => {
    const alone = new Cqrs({ transport: 'MemoryTransport' });
    expect(() => alone.masters).toThrow(
      /it belongs to no MikroORM yet\. Pass it: MikroORM\.init\(\{ extensions: \[cqrs\]/,
    );
    const orm = new MikroORM({ dbName: 'unused', entities: [Account] });
    expect(() => Account.cqrs(orm.em.fork())).toThrow(/Account: MikroORM was set up without a Cqrs\./);
    await expect(new Account().toCqrsDict()).rejects.toThrow(
      /Account: the entity belongs to no EntityManager\. Pass one: \{ em \}\./,
    );
  });
});

describe("the user's own parts", () => {
  const heard: string[] = [];
  class Subscriber implements EventSubscriber {
    beforeTransactionCommit(): void {
      heard.push('before commit');
    }
    afterTransactionCommit(): void {
      heard.push('after commit');
    }
    afterCreate(): void {
      heard.push('after create');
    }
  }
  class OwnEntityManager extends EntityManager {
    twice(name: string): Promise<unknown> {
      return this.insertMany(Account, [{ name }, { name }]);
    }
  }

  test('subscribers, an EntityManager class and discovery.afterDiscovered still work', async () => {
    const discovered: string[] = [];
    const options: Partial<Options> = {
      subscribers: [new Subscriber()],
      entityManager: OwnEntityManager,
      discovery: { afterDiscovered: (storage) => void discovered.push(...[...storage].map((meta) => meta.className)) },
    };
    await using service = await masterService([Account], { options });
    expect(discovered).toContain('Account');
    const em = service.orm.em.fork() as OwnEntityManager;
    em.create(Account, { name: 'ada' });
    await em.flush();
    expect(heard).toEqual(['after create', 'before commit', 'after commit']);
    expect(em).toBeInstanceOf(OwnEntityManager);
    await em.twice('eve');
    expect(await names(service)).toEqual(['ada', 'eve', 'eve']);
  });

  test('an asynchronous afterDiscovered is waited for', async () => {
    let done = false;
    const options: Partial<Options> = {
      discovery: { afterDiscovered: async () => void (done = await Promise.resolve(true)) },
    };
    await using service = await masterService([Account], { options });
    expect(done).toBe(true);
    expect(service.cqrs.masters.ids).toEqual(['account']);
  });

  test('what a subscriber flushes just before COMMIT is captured', async () => {
    class Late implements EventSubscriber {
      async beforeTransactionCommit({ em, transaction }: TransactionEventArgs): Promise<void> {
        if ((transaction as { savepointName?: string } | undefined)?.savepointName) return;
        const late = (em as EntityManager).fork({ keepTransactionContext: true });
        late.create(Account, { name: 'late' });
        await late.flush();
      }
    }
    await using service = await masterService([Account], { options: { subscribers: [new Late()] } });
    await service.orm.em.fork().transactional(async (em) => void em.create(Account, { name: 'early' }));
    expect(await names(service)).toEqual(['early', 'late']);
  });
});
