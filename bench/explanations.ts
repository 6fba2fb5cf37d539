/** Why a goal is missed, by the name of its row: what a profile shows, and what would lift it. */
export interface Explanation {
  /** What was looked at, and what it shows. */
  readonly profile: string;
  readonly lift: string;
}

const CREATE: Explanation = {
  profile:
    'Where the time of one create is (marks in the code, one connection, medians): in Node 0.22 ms beside 0.21, until the row is stored 0.22 ms, its BEGIN with it, beside 0.27 for both, and for the COMMIT 0.30 ms, with the outbox insert, beside 0.24. With eight connections waiting is no loss, and ours saves it in vain: what counts is processor time (`process.cpuUsage`, `/proc/<backend>/schedstat`), 0.49 ms in Node beside 0.44, and 0.28 ms in the connection’s backend beside 0.24 for a second row, its two indexes and its WAL.',
  lift: 'the servers on cores of their own; one index less on the outbox (0.01 ms).',
};

const UPDATE: Explanation = {
  profile:
    'Where the time of one update is (marks in the code, one connection, medians): in Node 0.22 ms beside 0.16, until the row is stored 0.23 ms, its BEGIN with it, beside 0.26 for both, and for the COMMIT 0.32 ms, with the outbox insert, beside 0.26. With eight connections processor time counts, not waiting (`process.cpuUsage`, `/proc/<backend>/schedstat`): 0.54 ms in Node, which serves them all, beside 0.44, and 0.30 ms in the connection’s backend beside 0.24. What is more in Node is ours, in functions of less than 5 µs each, and their garbage.',
  lift: 'as for creates.',
};

const FAST_PATH: Explanation = {
  profile:
    'Processor time a message: Node 12 to 13 µs beside 7 to 9 of the twin, PostgreSQL 8 beside 7, RabbitMQ 10 for both, on two cores. Profile (`node --cpu-prof` of a drain): of Node’s busy time the bodies take 17 % (`JSON.parse` alone 12 %, as the twin has it), keys, mapping and locks 10 %, packing 5 %, ends and events 6 %, in many small parts; the garbage collector 8 %, MikroORM’s transactions 3 %; sockets 28 %, amqplib 11 %, `pg` 2 %.',
  lift: 'cores of its own for the broker; columns read out of the JSON text by native code: in JavaScript looking at each character takes as long as `JSON.parse`.',
};

const CREATE_CONNECTING: Explanation = {
  profile:
    'What ours takes is that of `create-1`, one transaction after the other on one connection (marks in the code, medians: in Node 0.22 ms, until the row is stored 0.22 ms, for the COMMIT with the outbox insert 0.30 ms), with the relay beside it on the same two cores.',
  lift: 'more connections, as an application has them (`create-8`).',
};

const BULK_CONNECTING: Explanation = { profile: 'As for `django-bulk-create`.', lift: 'what lifts `relay`.' };

const LONG_CLASSIC: Explanation = {
  profile:
    'RabbitMQ 3.10 keeps a classic queue in memory until it is short of it (`rabbitmqctl list_queues messages_ram`; a million of these messages take 2 GB), and from then on reads it back from disk. The raw consumer on the same queue grows as much (`grow-queue-classic-raw`): it is the broker’s part.',
  lift: 'memory for the broker.',
};

const LONG_QUORUM: Explanation = {
  profile:
    'A quorum queue keeps its bodies on disk and reads a long backlog back from its segments. The raw consumer on the same queue grows as much (`grow-queue-quorum-raw`): it is the broker’s part, none of it ours.',
  lift: 'faster disks.',
};

const STALE: Explanation = {
  profile:
    'Nothing is written, but handing out and reading a message cost the same for stale messages: RabbitMQ 10 µs of processor time, Node 12 to 15, where PostgreSQL takes 2 to 3 instead of 8. Profile (`node --cpu-prof` of such a drain): of Node’s busy time the bodies take 17 %, mapping and comparing with what is stored 14 %, the garbage collector 7 %, sockets and amqplib 35 %. The faster creates are, the less there is to leave out.',
  lift: 'cores of its own for the broker.',
};

const TRIGGERS: Explanation = {
  profile:
    'Where the time of an UPDATE of 10,000 rows is (`explain analyze`): 8 µs a row without triggers; the row trigger that moves revision and time 4 µs more; the statement trigger 20 to 25 µs, in which it prints the row and stores it with two indexes. In Node nothing is read back and no body is made.',
  lift: 'driver capture has no triggers, and makes the body in the transaction instead; the rows `…-driver` have the two side by side.',
};

export const explanations: Readonly<Record<string, Explanation>> = {
  'create-1': CREATE,
  'create-8': CREATE,
  'update-1': UPDATE,
  'update-8': UPDATE,
  'bulk-create': {
    profile:
      'It stores two rows where the twin stores one, the second of 400 bytes with two indexes, and reads every row back as text (RETURNING) to make its body: processor time of the connection’s backend, not of Node.',
    lift: 'bodies made by PostgreSQL itself in the same statement, for masters without serializer and tracked fields.',
  },
  'bulk-update': {
    profile: 'As for bulk creates.',
    lift: 'as for bulk creates.',
  },
  'flush-update': {
    profile:
      'MikroORM’s own part is the same on both sides: comparing 10,000 entities and an UPDATE of 300 rows a statement. Ours stores a second row of 400 bytes with two indexes for each, reads every row back as text (RETURNING) to make its body, and does so in the transaction; nothing of it grows with the rows written before.',
    lift: 'as for bulk creates.',
  },
  'trigger-create-1': TRIGGERS,
  'trigger-create-8': TRIGGERS,
  'trigger-update-1': TRIGGERS,
  'trigger-update-8': TRIGGERS,
  'trigger-bulk-create': TRIGGERS,
  'trigger-flush-update': TRIGGERS,
  relay: {
    profile:
      'Profile (`node --cpu-prof` of a backlog): sockets, amqplib and `pg` take three quarters, which the twin has as well; of ours no function is above 1.1 %. More than half of the time Node waits for the broker.',
    lift: 'a faster broker.',
  },
  'consume-create-classic': FAST_PATH,
  'consume-update-classic': FAST_PATH,
  'consume-create-quorum': FAST_PATH,
  'consume-update-quorum': FAST_PATH,
  'consume-hooks': {
    profile:
      'Processor time a row (`process.cpuUsage`, `/proc/<backend>/schedstat`): Node 80 µs beside 62 µs, the backend 20 µs as for the twin, since an UPDATE of 12 µs beside 15 µs makes good for the locks of keys (4 µs). Profile (`node --cpu-prof` of a drain, busy time): MikroORM 36 %, as many microseconds as for the twin; ours 22 %, in many small parts (calling hooks 4 %, reading bodies 4 %, entities and flush 5 %); the garbage of both 15 %.',
    lift: 'nothing known: fewer messages in hand (`replica.prefetch` of 600) make no difference.',
  },
  'consume-stale-classic': {
    profile:
      'RabbitMQ hands out messages of a classic queue no faster than creates are written (the raw consumer gets no more either): what stale messages leave out is waited for elsewhere.',
    lift: 'quorum queues, which are handed out faster.',
  },
  'consume-stale-quorum': STALE,
  'django-drain': FAST_PATH,
  'django-create': {
    profile:
      'django-cqrs 3.1.0 over pika keeps its broker connection between the saves of one script, and publishes after the commit with neither an outbox nor a confirm: what is not sent when the process dies is lost. It has nothing to store and nothing to wait for. What ours takes is that of `create-1`; the relay runs beside it, and all is confirmed at the end. Ways that open a connection for each message are in the two rows below.',
    lift: 'nothing that keeps the promise: a message is stored with its row and forgotten once the broker has confirmed it. More connections, as an application has them, carry more (`create-8`).',
  },
  'django-create-kombu': CREATE_CONNECTING,
  'django-create-3.0': CREATE_CONNECTING,
  'django-bulk-create': {
    profile:
      'Published means relayed and confirmed: the rows are written as fast as `bulk-create` has it, and then the relay carries them at its own speed (`relay`); the profiles are those of the two. The goal was set when django-cqrs opened a connection for each message, as in the two rows below.',
    lift: 'what lifts `relay`: begun while the rows are written, it would have to wait for their COMMIT all the same.',
  },
  'django-bulk-create-kombu': BULK_CONNECTING,
  'django-bulk-create-3.0': BULK_CONNECTING,
  'django-sync': {
    profile:
      'The way of a SYNC is that of a change: row, outbox, relay; the outbox is written and emptied again. The relay is at work for nine tenths of the time.',
    lift: 'what lifts `relay`.',
  },
  'django-sync-kombu': { profile: 'As for `django-sync`.', lift: 'what lifts `relay`.' },
  'latency-p50': {
    profile:
      'Both ways make the same steps: commit, wake, claim, publish, deliver, apply with its commit. On two cores that writer, relay, worker and both servers share, ours waits longer for its turn at each, since it takes more processor time for a single message: a batch of one row takes 0.60 ms in all, 0.33 of it in Node and 0.20 in PostgreSQL.',
    lift: 'a transaction without an EntityManager where no hook needs one (0.05 ms); cores of their own.',
  },
  'latency-p99': {
    profile:
      'The tail is the garbage collector, checkpoints and the neighbours on the machine: from round to round it differs by more than the two ways do.',
    lift: 'a quieter machine.',
  },
  'load-copy': {
    profile:
      'What is new goes in by COPY, too. Node then takes longer than PostgreSQL, which waits for it a third of the time (`pg_stat_activity`): a row is parsed, mapped, and given a version and a key, where the twin parses it and joins its fields. Profile (`node --cpu-prof` of a load), 5 µs a row: reading and parsing 1.9, mapping 1.5, garbage 0.5.',
    lift: 'parsing in a thread of its own.',
  },
  'load-django': {
    profile: 'As for `load-copy`.',
    lift: 'as for `load-copy`.',
  },
  'load-memory': {
    profile: 'The heap grows until its first full collection, and stays there.',
    lift: 'a smaller young generation (`node --max-semi-space-size`).',
  },
  'apply-logical': {
    profile:
      "PostgreSQL's worker applies inside the server: no JSON, no broker, no client. Ours takes 12 µs of processor time a message in Node, 10 in RabbitMQ and 8 in the database (`/proc/<pid>/schedstat` during a drain), on the same two cores.",
    lift: 'what lifts the fast path; cores of their own for the broker.',
  },
  'grow-outbox': {
    profile:
      'The oldest messages are read by the primary key; what grows is the part of its index that settled messages leave behind until vacuum comes.',
    lift: 'vacuuming the outbox more often than other tables.',
  },
  'grow-queue-classic': LONG_CLASSIC,
  'grow-queue-classic-raw': LONG_CLASSIC,
  'grow-queue-quorum': LONG_QUORUM,
  'grow-queue-quorum-raw': LONG_QUORUM,
  'grow-entities': {
    profile:
      'A batch of 1,000 messages of 50 entities is 50 statements of 20 rows, sent together, neither parsed nor planned again, and answered at once; the work on rows is the same. What is left is the start and the end of a statement (`/proc/<backend>/schedstat`): 32 µs of PostgreSQL each, and 14 µs of Node. A batch of 1,000 takes 1.13 times as long as one of a single entity, one of 200 2.6 times; in a drain a batch is what has come meanwhile.',
    lift: 'one statement for several entities; larger batches (`replica.batchSize`, `replica.batchWaitMs`) where entities are many.',
  },
  'grow-bodies': {
    profile: 'A message costs the same however long it is; above some kilobytes only copying counts.',
    lift: 'nothing in this library.',
  },
  processes: {
    profile:
      'The cores are idle for four fifths of the time (`/proc/<pid>/stat` of workers and servers): what is missed is the start and the end of a run, where one process has its last messages alone.',
    lift: 'a longer run.',
  },
  memory: {
    profile:
      'Before the first message it takes 134 MB beside 125 of the twin. After forced collections 43 MB of the heap are in use during a drain, beside 30, and the most it takes is 265 MB beside 210; without them V8 leaves as much garbage as it has room for.',
    lift: 'a smaller `replica.prefetch` where bodies are large; `node --max-old-space-size`.',
  },
};
