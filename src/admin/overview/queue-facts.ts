import type { Cqrs } from '../../cqrs.js';
import type { Fact } from '../contract.js';
import { readQueue } from './queues.js';

/** What the broker's queues say to somebody who misses a row. */
export async function queueFacts(cqrs: Cqrs, names: readonly string[]): Promise<Fact[]> {
  const facts: Fact[] = [];
  for (const name of names) {
    const { state, error } = await readQueue(cqrs, name);
    if (error !== null) return [{ state: 'bad', where: 'broker', text: `The broker does not answer: ${error}` }];
    facts.push(factOf(name, state));
  }
  return facts;
}

function factOf(name: string, state: { readonly messages: number; readonly consumers: number } | null): Fact {
  if (state === null) {
    return {
      state: 'bad',
      where: 'queue',
      text: `There is no queue ${name}: its replica has never started, or it was removed.`,
      cure: 'Start its consumer, then compare and repair it under Replicas, or by cqrs reconcile on the master: a sync alone leaves rows that were deleted.',
    };
  }
  if (state.consumers === 0) {
    return {
      state: 'bad',
      where: 'queue',
      text: `Nobody consumes ${name}; ${state.messages} messages wait there.`,
      cure: 'Start its consumer: cqrs consume.',
    };
  }
  if (state.messages === 0) return { state: 'good', where: 'queue', text: `Nothing waits in ${name}.` };
  return {
    state: 'note',
    where: 'queue',
    text: `${state.messages} messages wait in ${name}; the row may be among them.`,
  };
}
