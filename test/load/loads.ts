import { setTimeout as sleep } from 'node:timers/promises';
import type { Proxy } from '../faults/proxy.ts';
import { type Publisher, saveOf } from './broker.ts';
import { Child } from './child.ts';
import { ENOUGH_FOR_GROWTH } from './report.ts';
import { Plain, PREFETCH, queueOf, type Scene, type Service } from './scene.ts';

/** What one load was, and how it went; figures of time depend on the machine, the others must not. */
export interface Load {
  readonly name: string;
  readonly messages: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly peakRssMb: number;
  /** Growth of the process's memory for each 100 000 messages, in its second half. */
  readonly rssSlopeMbPer100k: number;
  readonly note: string;
  readonly problems: readonly string[];
}

export interface Stage {
  readonly scene: Scene;
  readonly master: Service;
  readonly replica: Service;
  readonly proxy: Proxy;
  readonly publisher: Publisher;
}

/** As much as a process may grow for each 100 000 messages that it handles. */
const MOST_GROWTH_MB = 4;
const PATIENCE_MS = 1_800_000;

async function until(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  for (const late = performance.now() + PATIENCE_MS; !(await ask()); await sleep(100)) {
    if (performance.now() > late) throw new Error(`${what}: not within ${PATIENCE_MS / 60_000} minutes`);
  }
}

function result(name: string, child: Child, messages: number, seconds: number, note: string, problems: string[]): Load {
  const memory = child.memory(messages);
  if (messages >= ENOUGH_FOR_GROWTH && memory.rssSlopeMbPer100k > MOST_GROWTH_MB) problems.push('its memory grows');
  const rounded = Number(seconds.toFixed(1));
  return { name, messages, seconds: rounded, perSecond: Math.round(messages / seconds), ...memory, note, problems };
}

async function replicaCount({ replica }: Stage, table: string): Promise<number> {
  const [row] = await replica.orm.em.execute<{ count: number }[]>(`select count(*)::int as count from ${table}`);
  return row!.count;
}

const since = (began: number): number => (performance.now() - began) / 1_000;

/** A worker finds a long queue; a slow database holds it back for a while in the middle. */
export async function backlog(stage: Stage, count: number): Promise<Load> {
  const { scene, publisher } = stage;
  const queue = queueOf(scene);
  await publisher.send(scene.exchange, 'plain', count, (index) => saveOf('plain', index, 0, index));
  const worker = await Child.start('worker', scene);
  const began = performance.now();
  await until('the backlog', () => worker.done >= count);
  const seconds = since(began);
  await worker.stop();
  const problems: string[] = [];
  if ((await replicaCount(stage, 'plain')) !== count) problems.push('rows are missing');
  if ((await publisher.ready(queue)) !== 0) problems.push('messages are left');
  return result('backlog drained', worker, count, seconds, '', problems);
}

/** The database takes its time: the queue waits in the broker, not in the worker. */
export async function backPressure(stage: Stage, count: number): Promise<Load> {
  const { scene, publisher, replica } = stage;
  const queue = queueOf(scene);
  await replica.orm.em.execute(`create or replace function dawdle() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.2); return null; end $$`);
  await replica.orm.em.execute(
    'create trigger dawdle after insert or update on plain for each statement execute function dawdle()',
  );
  await publisher.send(scene.exchange, 'plain', count, (index) => saveOf('plain', index, 1, index));
  const worker = await Child.start('worker', scene);
  const began = performance.now();
  let mostInHand = 0;
  await until('the slow database', async () => {
    // Asked in this order the estimate errs to the high side, by what was done in between.
    const done = await worker.doneNow();
    const inHand = count - done - (await publisher.ready(queue));
    if (done > 0) mostInHand = Math.max(mostInHand, inHand);
    return worker.done >= count;
  });
  const seconds = since(began);
  await worker.stop();
  await replica.orm.em.execute('drop trigger dawdle on plain');
  // Acknowledgements travel in groups, and are counted when they are sent.
  const allowed = PREFETCH + 500;
  const problems = mostInHand > allowed ? [`${mostInHand} messages in hand`] : [];
  const note = `at most ${mostInHand} messages outside the queue, prefetch ${PREFETCH}`;
  return result('slow database', worker, count, seconds, note, problems);
}

/** The broker is away while masters write; then it comes back. */
export async function outbox(stage: Stage, count: number): Promise<Load> {
  const { scene, master, proxy, publisher } = stage;
  const relay = await Child.start('relay', scene);
  proxy.refuse();
  const CHUNK = 5_000;
  const writing = performance.now();
  for (let from = 0; from < count; from += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, count - from) }, (_, index) => ({
      id: from + index,
      value: index,
      text: 'x'.repeat(80),
    }));
    await master.orm.em.fork().insertMany(Plain, rows as never);
  }
  const wrote = since(writing);
  // Counted here: `outboxState` only estimates so many.
  const [{ waiting }] = await master.orm.em.execute<[{ waiting: number }]>(
    'select count(*)::int as waiting from cqrs_outbox',
  );
  const problems = waiting === count ? [] : [`${waiting} messages waited`];
  const began = performance.now();
  proxy.heal();
  await until('the outbox', async () => (await master.cqrs.outboxState())!.depth === 0);
  const seconds = since(began);
  await relay.stop();
  const queue = queueOf(scene);
  const ready = await publisher.ready(queue);
  if (ready < count) problems.push(`${ready} messages arrived`);
  const note = `written in ${wrote.toFixed(0)} s while the broker was away; then back in ${seconds.toFixed(0)} s, ${ready - count} of them twice`;
  return result('outbox relayed after an outage', relay, count, seconds, note, problems);
}

/** Messages that can never work become dead letters; an operator puts all back, they die again, and are purged. */
export async function deadLetters(stage: Stage, count: number): Promise<Load[]> {
  const { scene, publisher } = stage;
  const letters = `dead_letter_${queueOf(scene)}`;
  await publisher.send(
    scene.exchange,
    'plain',
    count,
    (index) => `{"x":1,${saveOf('plain', index, 2, null).slice(1).replace('"value"', '"other"')}`,
  );
  const worker = await Child.start('worker', scene);
  let began = performance.now();
  await until('dying', () => worker.done >= count);
  const died = since(began);
  await worker.stop();
  const problems: string[] = [];
  if ((await publisher.ready(letters)) !== count) problems.push('letters are missing');
  const dying = result('messages become dead letters', worker, count, died, '', problems);

  began = performance.now();
  const retry = await Child.start('retry', scene);
  await retry.ended();
  const retrying = result('dead letters paged and put back', retry, count, since(began), '', []);
  const back = await publisher.ready(queueOf(scene));
  if (back !== count) (retrying.problems as string[]).push(`${back} letters came back`);

  const again = await Child.start('worker', scene);
  await until('dying again', () => again.done >= count);
  await again.stop();
  began = performance.now();
  const purge = await Child.start('purge', scene);
  await purge.ended();
  const left = await publisher.ready(letters);
  return [
    dying,
    retrying,
    result('dead letters purged', purge, count, since(began), '', left ? ['some are left'] : []),
  ];
}

/** One key fails with every message, a thousand times a second, while the others go on. */
export async function poison(stage: Stage, seconds: number): Promise<Load> {
  const { scene, publisher } = stage;
  const RATE = 1_000;
  const OTHERS = 1_000;
  const worker = await Child.start('worker', scene);
  const began = performance.now();
  let sent = 0;
  for (let second = 0; second < seconds; second++) {
    const first = second * RATE;
    await publisher.send(scene.exchange, 'poison', RATE, (index) => saveOf('poison', 1, first + index, index));
    await publisher.send(scene.exchange, 'plain', OTHERS, (index) => saveOf('plain', index, 10 + second, second));
    sent += OTHERS;
    await sleep(Math.max(0, (second + 1) * 1_000 - since(began) * 1_000));
  }
  const replica = async (): Promise<number> => {
    const [row] = await stage.replica.orm.em.execute<{ count: number }[]>(
      `select count(*)::int as count from plain where cqrs_revision = ${9 + seconds}`,
    );
    return row!.count;
  };
  await until('the others', async () => (await replica()) >= OTHERS);
  const others = since(began);
  const total = sent + seconds * RATE;
  await until('the poison', () => worker.done >= total);
  const all = since(began);
  await worker.stop();
  const note = `${RATE} failing messages a second for ${seconds} s; the others done after ${others.toFixed(1)} s, the poison, with 3 retries each, after ${all.toFixed(1)} s`;
  return result('one poison key', worker, total, all, note, others > seconds + 10 ? ['the others were held up'] : []);
}
