import { setTimeout as pause } from 'node:timers/promises';
import { raw } from '@mikro-orm/core';
import { Account, Payment } from './entities.ts';
import type { DemoService } from './services.ts';

const NAMES = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony', 'Radia', 'Margaret', 'Donald'];
const FIRST = 200;

/** The bank at work, until the signal: accounts are opened and change, money is paid, now and then too much of it. */
export async function runTraffic(bank: DemoService, signal: AbortSignal): Promise<void> {
  const em = () => bank.orm.em.fork();
  await em().insertMany(
    Account,
    Array.from({ length: FIRST }, (_, index) => ({
      id: index + 1,
      name: NAMES[index % NAMES.length]!,
      balance: `${100 + index}.00`,
    })),
  );
  for (let round = 1; !signal.aborted; round++) {
    const one = 1 + Math.floor(Math.random() * FIRST);
    await em().nativeUpdate(Account, { id: { $gte: one, $lt: one + 8 } }, { balance: raw('balance + 1') });
    // the shop takes no payment above 1,000: each tenth becomes a dead letter
    if (round % 5 === 0) {
      await em().insert(Payment, { id: round, amount: round % 50 === 0 ? '5000.00' : `${round % 900}.00` });
    }
    if (round % 20 === 0) {
      const id = FIRST + round / 20;
      await em().insert(Account, { id, name: NAMES[id % NAMES.length]!, balance: '0.00' });
    }
    await pause(250, undefined, { signal }).catch(() => {});
  }
}
