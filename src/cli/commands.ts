import { admin, ADMIN_OPTIONS } from './admin.js';
import { bulkDump, BULK_DUMP_OPTIONS } from './bulk-dump.js';
import { bulkLoad, BULK_LOAD_OPTIONS } from './bulk-load.js';
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
import {
  DELETED_DIFF_MASTER_OPTIONS,
  DELETED_DIFF_REPLICA_OPTIONS,
  DELETED_SYNC_REPLICA_OPTIONS,
  deletedDiffMasterCommand,
  deletedDiffReplicaCommand,
  deletedSyncReplicaCommand,
} from './deleted-diff.js';
import {
  DIFF_MASTER_OPTIONS,
  DIFF_REPLICA_OPTIONS,
  DIFF_SYNC_OPTIONS,
  diffMasterCommand,
  diffReplicaCommand,
  diffSyncCommand,
} from './diff.js';
import { doctor, DOCTOR_OPTIONS } from './doctor.js';
import { RECONCILE_OPTIONS, reconcileCommand } from './reconcile.js';
import {
  dropRefusedMessages,
  listRefusedMessages,
  REFUSED_DROP_OPTIONS,
  REFUSED_LIST_OPTIONS,
  REFUSED_RETRY_OPTIONS,
  retryRefusedMessages,
} from './refused.js';
import { relay, RELAY_OPTIONS } from './relay.js';
import { retire, RETIRE_OPTIONS } from './retire.js';
import { schema, SCHEMA_OPTIONS } from './schema.js';
import { status, STATUS_OPTIONS } from './status.js';
import { sync, SYNC_OPTIONS } from './sync.js';

const ONLY_MAPPED = 'Values are printed only of fields that the service maps and does not hide (hidden: true).';
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
      { line: 'cqrs consume -w 4 --health-port 8080', does: 'And answers probes for all four, and scrapes.' },
      { line: 'cqrs consume --reload', does: 'While you work on it: started again when a source changes.' },
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
    examples: [
      { line: 'cqrs relay', does: 'Relays until SIGTERM or SIGINT.' },
      { line: 'cqrs relay --health-port 8080', does: 'And answers probes and scrapes.' },
    ],
    run: relay,
  }),
  command({
    name: 'status',
    summary: 'Show whether all is well and why not, what waits where, who runs and how fast.',
    details: [
      'Reads the database and the broker and what the processes have left word of. Large tables and outboxes are estimated,',
      'and it says so. The exit code is 0 when the service is healthy, 1 when it is degraded or dead.',
    ],
    options: STATUS_OPTIONS,
    examples: [
      { line: 'cqrs status', does: 'A table for people.' },
      { line: 'cqrs status --watch', does: 'The same, shown anew every two seconds.' },
      { line: 'cqrs status --json', does: 'The same for programs.' },
    ],
    run: status,
  }),
  command({
    name: 'doctor',
    summary: 'Look for what a service cannot see while it runs, and say what to do about it.',
    details: [
      'Tables and privileges; triggers that capture masters; arguments and policies of its queues, by the management API of',
      'RabbitMQ or, on the machine of the broker, by rabbitmqctl. Changes nothing. The exit code is 1 when there is a problem,',
      'or when a check failed; advice and checks that cannot be made from here leave it at 0.',
    ],
    options: DOCTOR_OPTIONS,
    examples: [
      { line: 'cqrs doctor', does: 'A line a check, and each finding with its cure.' },
      { line: 'cqrs doctor --json', does: 'The same for programs.' },
    ],
    run: doctor,
  }),
  command({
    name: 'admin',
    summary: 'Serve the admin page of this service, for this machine alone.',
    details: [
      'The address that it prints lets one browser in, once; then it prints another. To serve the page to others, mount it in',
      'the service with createAdmin and an authorize of your own.',
    ],
    options: ADMIN_OPTIONS,
    examples: [
      { line: 'cqrs admin --open', does: 'Opens it in the browser; Ctrl-C ends it.' },
      { line: 'cqrs admin --read-only --port 9000', does: 'To look, not to touch.' },
    ],
    run: admin,
  }),
  command({
    name: 'sync',
    summary: 'Send the present state of rows of a master again.',
    details: [
      'A replica that has a later state of a row keeps it. After a restore of the master from a backup, or a fail-over that',
      'lost commits, replicas are ahead of it: --new-incarnation then gives the rows a new incarnation on the master, and replicas',
      'take its state. Such a row counts as changed: its revision moves.',
      'Live changes go first: while more than a few of them wait in the outbox no rows are added. Ctrl-C ends after the page',
      'in hand, and says how to continue.',
    ],
    options: SYNC_OPTIONS,
    examples: [
      { line: 'cqrs sync --cqrs-id account', does: 'Every row, to all replicas.' },
      {
        line: `cqrs sync --cqrs-id account --filter '{"id":{"$gt":1000}}' --queue reports`,
        does: 'Some rows, to one replica.',
      },
      {
        line: 'cqrs sync --cqrs-id account --new-incarnation',
        does: 'After a restore from a backup: replicas take these rows, whatever they have.',
      },
      { line: `cqrs sync -c account --rate 500 --after '41000'`, does: 'Slowly; goes on where a sync was stopped.' },
    ],
    run: sync,
  }),
  command({
    name: 'reconcile',
    summary: "Compare replicas with this service's masters over the broker, and repair what differs.",
    details: [
      'Beside live writes: rows in flight are no difference. Traffic grows with the differences, not with the tables.',
      'Missing, stale and damaged rows are sent again, extra rows are deleted, on that replica alone. The exit code is 1 when',
      'a difference is left, and so with --dry-run when there is one.',
    ],
    options: RECONCILE_OPTIONS,
    examples: [
      {
        line: 'cqrs reconcile --cqrs-id account --queue shop',
        does: 'Makes the accounts of shop those of this service.',
      },
      {
        line: 'cqrs reconcile -q shop -q reports --dry-run',
        does: 'Reports how all masters differ from two replicas.',
      },
      {
        line: 'cqrs reconcile -q shop --every 1h --json >> reconcile.jsonl',
        does: 'On a schedule, with a report a line.',
      },
      { line: 'cqrs reconcile -q shop --restored', does: 'After the database of shop was restored from a backup.' },
      { line: `cqrs reconcile -c account -q shop --key 7 --key 8`, does: 'Looks at two rows only.' },
    ],
    run: reconcileCommand,
  }),
  command({
    name: 'retire',
    summary: 'Remove the queues of a replica that is no more, so that nothing gathers in them.',
    details: [
      'Its queue, its dead letters and its unreadable bodies. Stop its workers first. On a service with masters, changes that',
      'wait for a queue that is gone wait no longer.',
    ],
    options: RETIRE_OPTIONS,
    examples: [
      { line: 'cqrs retire --queue reports', does: 'Removes empty queues.' },
      { line: 'cqrs retire --queue reports --force', does: 'And those with messages in them.' },
    ],
    run: retire,
  }),
  command({
    name: 'schema',
    summary: 'Prepare tables that exist for this service: add what they lack, or declare them as they are.',
    details: [
      '--additive compares the tables of masters and replicas with their entities, and prints what only adds: columns,',
      'triggers that capture masters, and the tables of this library. It changes and drops nothing. Where a declaration',
      'contradicts its table it says so and ends with 1; what no entity declares is kept. No statement rewrites rows, and',
      'none waits for a lock for more than three seconds.',
      '--entities reads the catalogue and prints a TypeScript module: types, precision, identity keys, deferrable foreign',
      'keys, indexes, checks, defaults and names as the tables have them. Tables that they refer to are declared, too.',
      'Names of fields are those of the columns; where the other side calls a field otherwise, rename the property.',
    ],
    options: SCHEMA_OPTIONS,
    examples: [
      {
        line: 'cqrs schema --entities --master bank_account=account > src/account.ts',
        does: 'Declares the table bank_account as the master account.',
      },
      { line: 'cqrs schema --additive', does: 'Prints the statements, for a migration of yours.' },
      { line: 'cqrs schema --additive --run', does: 'And runs them.' },
    ],
    run: schema,
  }),
  command({
    name: 'bulk-dump',
    summary: 'Write the rows of a master into a file for bulk-load, from one snapshot.',
    details: ["The format is django-cqrs's. The file appears when it is complete; the result goes to standard error."],
    options: BULK_DUMP_OPTIONS,
    examples: [
      { line: 'cqrs bulk-dump --cqrs-id account', does: 'Every row, into account.dump.' },
      { line: 'cqrs bulk-dump -c account -o - | gzip > account.dump.gz', does: 'The same through a pipe.' },
    ],
    run: bulkDump,
  }),
  command({
    name: 'bulk-load',
    summary: 'Load a dump into a replica, by the rules of live messages.',
    details: [
      'Newer rows stay as they are. A bad line is reported with its number and costs no other line, but with --clear, where',
      'one of them leaves everything unchanged. It may be repeated at will.',
    ],
    options: BULK_LOAD_OPTIONS,
    examples: [
      { line: 'cqrs bulk-load --input account.dump', does: 'Adds what is missing or older.' },
      { line: 'cqrs bulk-load -i - --clear < account.dump', does: 'Makes the table that of the dump, at once.' },
    ],
    run: bulkLoad,
  }),
  command({
    name: 'diff-master',
    summary: "List keys and revisions of a master's rows, for diff-replica.",
    options: DIFF_MASTER_OPTIONS,
    examples: [
      {
        line: 'cqrs diff-master --cqrs-id account | ssh shop cqrs diff-replica | cqrs diff-sync',
        does: 'Finds rows that the replica lacks or has in another state, and sends them to it.',
      },
      { line: 'cqrs diff-master --cqrs-id account --checksums --fields id,name', does: 'Compares content, too.' },
    ],
    run: diffMasterCommand,
  }),
  command({
    name: 'diff-replica',
    summary: 'Read what diff-master lists; list the keys of rows that are different here, for diff-sync.',
    options: DIFF_REPLICA_OPTIONS,
    examples: [{ line: 'cqrs diff-replica < pairs', does: 'Between diff-master and diff-sync, on the replica.' }],
    run: diffReplicaCommand,
  }),
  command({
    name: 'diff-sync',
    summary: 'Read what diff-replica lists; send the present state of these rows to that replica.',
    options: DIFF_SYNC_OPTIONS,
    examples: [{ line: 'cqrs diff-sync < keys', does: 'The last of the pipe, on the master.' }],
    run: diffSyncCommand,
  }),
  command({
    name: 'deleted-diff-replica',
    summary: "List keys of a replica's rows, for deleted-diff-master.",
    options: DELETED_DIFF_REPLICA_OPTIONS,
    examples: [
      {
        line: 'cqrs deleted-diff-replica --cqrs-id account | ssh bank cqrs deleted-diff-master | cqrs deleted-sync-replica',
        does: 'Deletes the rows that the master has not.',
      },
    ],
    run: deletedDiffReplicaCommand,
  }),
  command({
    name: 'deleted-diff-master',
    summary: 'Read what deleted-diff-replica lists; list the keys that the master has not, for deleted-sync-replica.',
    options: DELETED_DIFF_MASTER_OPTIONS,
    examples: [{ line: 'cqrs deleted-diff-master < keys', does: 'The second of the pipe, on the master.' }],
    run: deletedDiffMasterCommand,
  }),
  command({
    name: 'deleted-sync-replica',
    summary: 'Read what deleted-diff-master lists; delete these rows, unless they were changed meanwhile.',
    options: DELETED_SYNC_REPLICA_OPTIONS,
    examples: [{ line: 'cqrs deleted-sync-replica < keys', does: 'The last of the pipe, on the replica.' }],
    run: deletedSyncReplicaCommand,
  }),
  command({
    name: 'refused list',
    summary: 'List messages that the broker refuses, with what it says.',
    details: ['Of each row the first one: what follows of that row waits behind it. All other rows go on.'],
    options: REFUSED_LIST_OPTIONS,
    examples: [{ line: 'cqrs refused list --cqrs-id account', does: 'The oldest hundred of one entity.' }],
    run: listRefusedMessages,
  }),
  command({
    name: 'refused retry',
    summary: 'Let the relay attempt refused messages now: once the reason is mended.',
    options: REFUSED_RETRY_OPTIONS,
    examples: [
      { line: 'cqrs refused retry', does: 'All of them.' },
      { line: 'cqrs refused retry --id 4711', does: 'One, by its id in the list.' },
    ],
    run: retryRefusedMessages,
  }),
  command({
    name: 'refused drop',
    summary: 'Drop refused messages for good, so that what waits behind them leaves.',
    details: ['Replicas lack what a dropped message said, unless a later one of its row says it too.'],
    options: REFUSED_DROP_OPTIONS,
    examples: [{ line: 'cqrs refused drop --id 4711', does: 'One of them, after a question.' }],
    run: dropRefusedMessages,
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
    details: [ONLY_MAPPED, DEAD_LETTERS_HELD],
    options: SHOW_OPTIONS,
    examples: [{ line: 'cqrs dead-letters show --id 3f9a', does: 'The letter whose id begins so.' }],
    run: show,
  }),
  command({
    name: 'dead-letters dump',
    summary: 'Print the bodies of dead letters, one a line, as django-cqrs does.',
    details: [ONLY_MAPPED, DEAD_LETTERS_HELD],
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
    summary: 'Purge dead letters: they are gone for good.',
    details: [DEAD_LETTERS_HELD],
    options: PURGE_OPTIONS,
    examples: [
      { line: 'cqrs dead-letters purge', does: 'All of them, after a question.' },
      { line: 'cqrs dead-letters purge --older-than 7d --yes', does: 'Those of last week and before, without.' },
    ],
    run: purge,
  }),
];
