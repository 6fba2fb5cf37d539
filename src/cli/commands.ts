import { command, type Command } from './command.js';
import { consume, CONSUME_OPTIONS } from './consume.js';
import { relay, RELAY_OPTIONS } from './relay.js';
import { status, STATUS_OPTIONS } from './status.js';
import { sync, SYNC_OPTIONS } from './sync.js';

/** Everything `cqrs` can do. A new command is a row here and the file with its `run`. */
export const COMMANDS: readonly Command[] = [
  command({
    name: 'consume',
    summary: 'Apply messages of other services to the replicas of this one.',
    details: [
      'SIGTERM or SIGINT finishes the batch in hand and ends; a second one ends at once. Nothing is lost either way:',
      'what was not acknowledged is delivered again.',
    ],
    options: CONSUME_OPTIONS,
    examples: [
      { line: 'cqrs consume', does: "Consumes the service's queue in this process." },
      { line: 'cqrs consume -w 4', does: 'Four worker processes; one that dies is started again.' },
      {
        line: 'cqrs consume --cqrs-id account --cqrs-id invoice',
        does: 'Only these two, from a queue of their own: <queue>.account-invoice.',
      },
    ],
    run: consume,
  }),
  command({
    name: 'relay',
    summary: 'Carry messages from the outbox to the broker.',
    details: ['For services that set relay.enabled to false; any number may run beside each other.'],
    options: RELAY_OPTIONS,
    examples: [{ line: 'cqrs relay', does: 'Relays until SIGTERM or SIGINT.' }],
    run: relay,
  }),
  command({
    name: 'status',
    summary: 'Show what waits in the outbox and the queues, and how far the replicas are.',
    options: STATUS_OPTIONS,
    examples: [
      { line: 'cqrs status', does: 'A table for people.' },
      { line: 'cqrs status --json', does: 'The same for programs.' },
    ],
    run: status,
  }),
  command({
    name: 'sync',
    summary: 'Send the present state of rows of a master again.',
    options: SYNC_OPTIONS,
    examples: [
      { line: 'cqrs sync --cqrs-id account', does: 'Every row, to all replicas.' },
      {
        line: `cqrs sync --cqrs-id account --filter '{"id":{"$gt":1000}}' --queue reports`,
        does: 'Some rows, to one replica.',
      },
    ],
    run: sync,
  }),
];
