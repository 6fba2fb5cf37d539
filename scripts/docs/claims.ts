/** One promise, and the name by which tests say that they show it: `// claims: <id>, <id>` above a test. */
export interface Claim {
  readonly id: string;
  readonly says: string;
  /** Cases of `npm run test:faults` that show it too, by the beginning of their names. */
  readonly faults?: readonly string[];
}

export const CLAIMS: readonly Claim[] = [
  { id: 'atomic-capture', says: 'A change and its message commit together, or neither does.', faults: ['master.'] },
  {
    id: 'every-write',
    says: 'Whichever way of MikroORM writes a master (flush, native calls, upserts, query builders, streams, collections, bulk operations), each row that PostgreSQL changes has one message, with the row as it is at the end. What moves the key of a row ends the old one and begins a new one.',
  },
  {
    id: 'savepoints',
    says: 'What PostgreSQL keeps of a transaction is what is announced, whoever opens, releases or rolls back its savepoints. Where that cannot be told, the COMMIT fails.',
  },
  {
    id: 'trigger-capture',
    says: "With `capture: 'trigger'`, each row that a transaction changes has one message with its last state, whichever program writes it and by whatever statement, but for what the guide's table names. What no message can be made of is set aside with its reason; later changes of its row wait.",
  },
  {
    id: 'trigger-context',
    says: 'What a transaction says of itself by `master.contextFunction` reaches the hooks of its messages, the same in both ways of capture, and of no other transaction.',
  },
  {
    id: 'capture-switch',
    says: 'A master that goes from the driver to triggers, gets a field more, and goes back, in the order of the guide, loses no write that is made meanwhile.',
  },
  {
    id: 'bounded-capture',
    says: 'What a captured row costs does not grow with the rows that were written before it in its transaction.',
  },
  {
    id: 'as-the-application',
    says: 'An application that writes masters gets the results, errors and locks that MikroORM alone gives it, but for what the guide names.',
  },
  {
    id: 'at-least-once',
    says: 'A committed message reaches the broker at least once, whatever ends the relay.',
    faults: ['relay.', 'network.relay-', 'network.broker', 'network.database'],
  },
  {
    id: 'effect-once',
    says: "A message takes effect once in the replica's database, with what hooks write through the EntityManager they are given. What hooks do outside happens at least once.",
    faults: ['replica.', 'inbox.', 'network.worker-', 'network.broker', 'network.database'],
  },
  {
    id: 'any-order',
    says: "Any order and any number of repeats of a row's messages end in the master's state. Messages of Python masters, which have no incarnation: in the order of the commits, by two publishers at once, with messages retried after up to 20 seconds, and with repeats, as long as no lock wait exceeds `replica.lockWaitSeconds`, clocks differ by less than `replica.clockSkewToleranceSeconds`, and no two changes share a revision; in any other order only where no statement waits for a lock and a key is not created again within `replica.lockWaitSeconds` of its deletion.",
  },
  {
    id: 'row-order',
    says: 'The order of changes is kept per row, by several relays and several workers. There is none across rows.',
  },
  {
    id: 'no-resurrection',
    says: 'A deleted row does not come back by late or repeated messages, nor by a dead letter put back after its tombstone was purged.',
    faults: ['replica.', 'inbox.'],
  },
  {
    id: 're-creation',
    says: 'A key that is used again begins a new incarnation, in whatever order the messages come. The row is replaced in place: foreign keys of other tables go on pointing to it.',
  },
  {
    id: 'clock-back',
    says: 'Deletions, and keys that are used again, arrive though the clock of the database goes back, by any time and any number of times, as long as a relay has run within the two seconds before. It is told.',
    faults: ['clock.'],
  },
  {
    id: 'two-masters-of-a-table',
    says: 'While Django and MikroORM write one table, replicas end in its state, however far our relay is behind, where a key has one incarnation for four seconds at least and none for four more. What changes sooner and cannot be told apart is a dead letter, or goes by its revision.',
  },
  {
    id: 'cyclic-references',
    says: 'Rows that refer to each other by nullable foreign keys, in two tables or one, arrive, whatever the batch cut. Until the other row is there a row is stored without the reference, one microsecond below its version, and its message waits.',
  },
  {
    id: 'isolation-levels',
    says: 'An INSERT that waits for the DELETE of its key is announced right under READ COMMITTED and REPEATABLE READ.',
  },
  { id: 'sync-no-downgrade', says: 'A SYNC repairs and never replaces a newer row.' },
  { id: 'long-outage', says: 'An outage longer than the time to live of messages loses nothing.' },
  {
    id: 'recovers',
    says: 'A relay or worker that lost the broker or its database says so, and goes on by itself within a minute of their return, without a restart.',
    faults: ['network.'],
  },
  {
    id: 'takeover',
    says: 'Any number of relays may run. One that stands still loses its claim to another, and what it sends late harms nobody.',
    faults: ['interleaving.relay'],
  },
  {
    id: 'fail-over',
    says: 'After a fail-over that lost commits, or a restore from a backup, new incarnations and a SYNC make replicas equal again, though revisions are issued twice.',
    faults: ['interleaving.fail-over'],
  },
  {
    id: 'gap-announced',
    says: 'A queue that had to be created is announced. (A missing binding on a queue that exists is not: AMQP cannot ask for it.)',
  },
  {
    id: 'retries-survive',
    says: 'A message that waits for its retry survives the worker.',
    faults: ['inbox.while-requeueing'],
  },
  {
    id: 'dead-letter-reason',
    says: 'A dead letter says why it died, and is written at least once.',
    faults: ['inbox.while-dead-lettering'],
  },
  {
    id: 'commit-latency',
    says: 'A commit does not wait for the broker.',
    faults: ['network.relay-broker', 'network.broker'],
  },
  {
    id: 'bounded-memory',
    says: 'A worker holds no more unsettled messages than `replica.prefetch`. Its memory, and that of a relay, stays flat over [a million messages](#load).',
  },
  {
    id: 'dead-letters-announced',
    says: 'Dead letters that the broker is about to drop are announced before.',
  },
  {
    id: 'refusal-isolated',
    says: 'A message that the broker refuses (too long, forbidden, a full queue) holds up the later ones of its row, and no others.',
  },
  {
    id: 'topology-verified',
    says: 'A worker makes an exchange or a binding that was removed under it again, within `verifySeconds` of the transport.',
  },
  {
    id: 'unroutable-waits',
    says: 'Changes of an entity whose last queue is gone wait for it, for `relay.unroutableWaitSeconds`; then they are told and settled.',
  },
  {
    id: 'unroutable-told',
    says: 'A master whose changes found no queue is degraded for `health.unroutableSeconds`, in `cqrs status`, on the page and in the metrics, whichever process sent them.',
  },
  {
    id: 'renamed-queue',
    says: 'A queue that is replaced by one with another name, as the page on operating has it, misses nothing, and the old one is gone.',
  },
  {
    id: 'meta-kept',
    says: "A sender's `meta` is the same at every attempt and after a retry of its dead letter, whatever it holds.",
  },
  {
    id: 'expires-read',
    says: '`expires` of a Python master is read as python-dateutil reads it, in every form in which Python prints a time.',
  },
  {
    id: 'restored-replica',
    says: 'A replica restored from a backup is right again after `cqrs reconcile --restored`: rows deleted since are gone, whatever tombstones the backup has, and so if the master was restored to another time.',
  },
  {
    id: 'added-field',
    says: 'A field that is added to an entity which is replicated already, in the order of the guide, reaches every row; the master says at start what earlier rows lack.',
  },
  {
    id: 'existing-table',
    says: 'An existing table becomes a master by the steps of the guide: no row is rewritten, and the replica has every row.',
  },
  {
    id: 'dropped-kept',
    says: 'What the broker takes out of a quorum queue by itself (delivery limit, length, time to live, by whatever policy) is among the dead letters.',
  },
  {
    id: 'lost-binding-told',
    says: 'Where the transport has a `managementUrl`, a worker that finds a binding of its queue gone, beside other queues that took the messages, says so by its id, and binds again.',
  },
  {
    id: 'least-rights',
    says: 'Each command works with the rights at the broker that the table in docs/operating.md has, and what a user may not make is used as it is.',
  },
  {
    id: 'policies-told',
    says: 'Arguments and policies of queues that let the broker drop messages are told by `cqrs doctor`, each with its cure, where the management API or `rabbitmqctl` is at hand.',
  },
  { id: 'poison-isolated', says: 'A message that can never work does not hold up the others.' },
  {
    id: 'bad-input',
    says: 'Whatever is sent to a queue, each message comes to exactly one end, and the worker goes on. What it holds never becomes SQL.',
  },
  {
    id: 'payload-limit',
    says: 'A message longer than `maxPayloadBytes` fails the transaction that would send it, and is not read where it arrives.',
  },
  {
    id: 'set-up-checked',
    says: "A wrong set-up fails at start, with one error that lists every problem and its cure; so does a replica's table that no message could pass.",
  },
  {
    id: 'lossy-told',
    says: 'A value that a column of a replica rounds or cuts is stored with an event, or is a dead letter, as `replica.lossyValues` has it; a key is never rounded.',
  },
  { id: 'drains', says: 'SIGTERM lets a worker finish what it has in hand.' },
  { id: 'wire', says: 'Messages are those of django-cqrs; each difference has its reason in the docs.' },
  {
    id: 'upgrades',
    says: 'What an earlier release has left in the outbox and among the tombstones is relayed and counts; a table of another form stops the start, with the cure.',
  },
  {
    id: 'mutual-tls',
    says: 'Broker and database are reached over TLS with client certificates. Without one, or with another CA, nothing is sent, and one error names the host and the reason.',
  },
  { id: 'no-secrets', says: 'No password and no row data stands in log lines and errors.' },
  {
    id: 'watching',
    says: 'A process, and `cqrs status` for a whole service, tell healthy from degraded (broker or database away, publishers held back, an old backlog) from dead (a loop that does not move), and find back by themselves.',
    faults: ['network.'],
  },
];
