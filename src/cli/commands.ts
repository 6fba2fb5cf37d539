import { command, type Command } from './command.js';
import { consume, CONSUME_OPTIONS } from './consume.js';
import {
  dump as dumpLetters,
  list,
  LIST_OPTIONS,
  purge,
  PURGE_OPTIONS,
  retry,
  RETRY_OPTIONS,
  show,
  SHOW_OPTIONS,
} from './dead-letters.js';
import { relay, RELAY_OPTIONS } from './relay.js';
import { status, STATUS_OPTIONS } from './status.js';
import { sync, SYNC_OPTIONS } from './sync.js';

const DEAD_LETTERS_HELD = 'Letters that are being looked at are hidden from others until the command ends.';

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
  command({
    name: 'dead-letters list',
    summary: 'List dead letters with the reason of each.',
    details: [DEAD_LETTERS_HELD],
    options: LIST_OPTIONS,
    examples: [
      { line: 'cqrs dead-letters list', does: 'The oldest hundred.' },
      { line: 'cqrs dead-letters list --cqrs-id account --reason mapping --older-than 2h', does: 'Some of them.' },
    ],
    run: list,
  }),
  command({
    name: 'dead-letters show',
    summary: 'Show dead letters with everything that is known, the body included.',
    details: [DEAD_LETTERS_HELD],
    options: SHOW_OPTIONS,
    examples: [{ line: 'cqrs dead-letters show --id 3f9a', does: 'The letter whose id begins so.' }],
    run: show,
  }),
  command({
    name: 'dead-letters dump',
    summary: 'Print the raw bodies of dead letters, one a line, as django-cqrs does.',
    details: [DEAD_LETTERS_HELD],
    options: SHOW_OPTIONS,
    examples: [{ line: 'cqrs dead-letters dump > letters.jsonl', does: 'All of them, into a file.' }],
    run: dumpLetters,
  }),
  command({
    name: 'dead-letters retry',
    summary: 'Put dead letters back to their queue, or try whether they would work now.',
    details: [
      'They start anew: no retries, and the whole time to live. Each leaves the dead letters only when the broker has',
      'confirmed its copy. The exit code is 1 when one could not be put back, or would not work.',
      DEAD_LETTERS_HELD,
    ],
    options: RETRY_OPTIONS,
    examples: [
      { line: 'cqrs dead-letters retry --dry-run', does: 'Applies each in a transaction that is rolled back.' },
      { line: 'cqrs dead-letters retry --cqrs-id account', does: 'Puts all of account back.' },
    ],
    run: retry,
  }),
  command({
    name: 'dead-letters purge',
    summary: 'Remove dead letters for good.',
    details: [DEAD_LETTERS_HELD],
    options: PURGE_OPTIONS,
    examples: [
      { line: 'cqrs dead-letters purge', does: 'All of them, after a question.' },
      { line: 'cqrs dead-letters purge --older-than 7d --yes', does: 'Those of last week and before, without.' },
    ],
    run: purge,
  }),
];
