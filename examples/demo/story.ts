import { type EntityManager, type MikroORM, raw } from '@mikro-orm/core';
import type { Audience } from './audience.ts';
import { Account, AccountRef, Payment, PaymentRef } from './entities.ts';
import type { Screen, Table } from './screen.ts';
import type { DemoService } from './services.ts';

/** What the bank does, chapter by chapter; the shop follows. Answers whether both ends hold the same in the end. */
export async function tell(screen: Screen, audience: Audience, bank: DemoService, shop: DemoService): Promise<boolean> {
  const em = (): EntityManager => bank.orm.em.fork();
  const show = async (): Promise<void> => {
    await audience.settled();
    screen.tables(await accounts(bank.orm), await accountRefs(shop.orm));
  };

  screen.chapter('Three accounts are created', 'em.create(Account, …) × 3; await em.flush()');
  const first = em();
  for (const [id, name, balance] of [
    [1, 'Ada', '100.00'],
    [2, 'Grace', '250.50'],
    [3, 'Edsger', '0.00'],
  ] as const) {
    first.create(Account, { id, name, balance });
  }
  await first.flush();
  await show();

  screen.chapter(
    'Three flushes in one transaction are one message',
    'em.transactional(async (em) => { … flush … flush … flush })',
  );
  await em().transactional(async (inner) => {
    const ada = await inner.findOneOrFail(Account, 1);
    for (const balance of ['90.00', '80.00', '75.25']) {
      ada.balance = balance;
      await inner.flush();
    }
  });
  await show();

  screen.chapter('A rollback leaves nothing', 'throw inside em.transactional(…)');
  await em()
    .transactional(async (inner) => {
      await inner.nativeDelete(Account, {});
      throw new Error('changed my mind');
    })
    .catch(() => screen.note('nothing was sent'));

  screen.chapter(
    'Interest for everybody, in one statement',
    "Account.cqrs(em).bulkUpdate({}, { balance: raw('round(balance * 1.01, 2)') })",
  );
  await Account.cqrs(em()).bulkUpdate({}, { balance: raw('round(balance * 1.01, 2)') });
  await show();

  screen.chapter('One account is closed', 'em.remove(grace); await em.flush()');
  const third = em();
  third.remove(await third.findOneOrFail(Account, 2));
  await third.flush();
  await show();

  screen.chapter(
    'Its number is given out again: a new incarnation of the same key',
    'em.create(Account, { id: 2, … })',
  );
  await em().insert(Account, { id: 2, name: 'Barbara', balance: '1.00' });
  await show();

  screen.chapter('Somebody damages the copy; a SYNC repairs it', "cqrs.sync({ cqrsId: 'account', filter: { id: 3 } })");
  await shop.orm.em.fork().nativeUpdate(AccountRef, { id: 3 }, { balance: '999999.99' });
  screen.note('update account_ref set balance = 999999.99 where id = 3');
  await bank.cqrs.sync({ cqrsId: 'account', filter: { id: 3 } });
  await show();

  screen.chapter('A message fails: it is tried again, then set aside', "em.create(Payment, { amount: '5000.00' })");
  await em().insert(Payment, { id: 1, amount: '20.00' });
  await em().insert(Payment, { id: 2, amount: '5000.00' });
  await audience.settled();
  screen.note('payment 1 was not held up; payment 2 waits among the dead letters');

  screen.chapter('The bank withdraws that payment', 'em.nativeDelete(Payment, 2)');
  await em().nativeDelete(Payment, { id: 2 });
  await audience.settled();

  return equal(bank.orm, shop.orm);
}

/** Compares every row and every replicated column of both databases. */
async function equal(bank: MikroORM, shop: MikroORM): Promise<boolean> {
  const [a, b] = [await accounts(bank), await accountRefs(shop)];
  const payments = await rows(bank, Payment, ['id', 'amount', 'cqrsRevision']);
  const copies = await rows(shop, PaymentRef, ['id', 'amount', 'cqrsRevision']);
  return (
    JSON.stringify([a.rows, payments]) === JSON.stringify([b.rows, copies]) &&
    a.rows.length === 3 &&
    payments.length === 1
  );
}

async function accounts(orm: MikroORM): Promise<Table> {
  return {
    title: 'bank · account',
    columns: ['id', 'name', 'balance', 'revision'],
    rows: await rows(orm, Account, ['id', 'name', 'balance', 'cqrsRevision']),
  };
}

async function accountRefs(orm: MikroORM): Promise<Table> {
  return {
    title: 'shop · account_ref',
    columns: ['id', 'holder', 'balance', 'revision'],
    rows: await rows(orm, AccountRef, ['id', 'holder', 'balance', 'cqrsRevision']),
  };
}

async function rows(orm: MikroORM, entity: new () => object, columns: string[]): Promise<string[][]> {
  const found = (await orm.em.fork().find(entity as never, {}, { orderBy: { id: 'asc' } as never })) as Record<
    string,
    unknown
  >[];
  return found.map((row) => columns.map((column) => String(row[column])));
}
