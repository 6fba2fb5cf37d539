/** Why a goal is missed, by the name of its row: what a profile shows, and what would lift it. */
export interface Explanation {
  /** What was looked at, and what it shows. */
  readonly profile: string;
  readonly lift: string;
}

const CREATE: Explanation = {
  profile:
    "Processor time of a transaction (`process.cpuUsage`, `/proc/<backend>/schedstat`; 1 connection): Node 0.76 ms beside 0.62 ms, the connection's backend 0.34 ms beside 0.22 ms, and the larger COMMIT. It makes one round trip fewer than the twin; what is left is the work for a second row, its two indexes and its WAL (0.07 ms), and in Node the RETURNING and the body: no function of ours is above 11 µs. How much that is beside the COMMIT depends on the disk: with one that takes longer the ratio was 0.95.",
  lift: 'the servers on cores of their own; one index less on the outbox (0.01 ms).',
};

const UPDATE: Explanation = {
  profile:
    "Processor time of the connection's backend: the bare UPDATE 46 µs; with our columns 63 µs, with the row in RETURNING 94 µs, and the insert into the outbox 65 µs more. In Node the flush of one changed row is short (0.4 to 0.7 ms), so that a statement in two parts, the RETURNING and the body weigh more than for creates. With a slower disk the ratio was 0.86.",
  lift: 'as for creates.',
};

const FAST_PATH: Explanation = {
  profile:
    'Processor time a message: Node 12 to 13 µs beside 7 to 9 of the twin, PostgreSQL 8 beside 7, RabbitMQ 10 for both, on two cores. Profile (`node --cpu-prof` of a drain): of Node’s busy time the bodies take 17 % (`JSON.parse` alone 12 %, as the twin has it), keys, mapping and locks 10 %, packing 5 %, ends and events 6 %, in many small parts; the garbage collector 8 %, MikroORM’s transactions 3 %; sockets 28 %, amqplib 11 %, `pg` 2 %.',
  lift: 'cores of its own for the broker; columns read out of the JSON text by native code: in JavaScript looking at each character takes as long as `JSON.parse`.',
};

const CREATE_CONNECTING: Explanation = {
  profile: 'Ours is that of `create-1`, one transaction after the other on one connection: its own time is the COMMIT.',
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
    'Nothing is written, but handing out and reading a message cost the same for old news: RabbitMQ 10 µs of processor time, Node 12 to 15, where PostgreSQL takes 2 to 3 instead of 8. Profile (`node --cpu-prof` of such a drain): of Node’s busy time the bodies take 17 %, mapping and comparing with what is stored 14 %, the garbage collector 7 %, sockets and amqplib 35 %. The faster creates are, the less there is to leave out.',
  lift: 'cores of its own for the broker.',
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
  relay: {
    profile:
      'Profile (`node --cpu-prof` of a backlog): sockets 44 %, amqplib 18 %, garbage 17 %, `pg` 5 %, which the twin has as well; ours is 9 %, none of its functions above 1.1 %.',
    lift: 'several messages in one buffer, below amqplib.',
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
      'RabbitMQ hands out messages of a classic queue no faster than creates are written (the raw consumer gets no more either): what old news leaves out is waited for elsewhere.',
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
      'Published means relayed and confirmed: the rows are written at many thousands a second (`bulk-create`), and the relay carries them behind. The goal was set when django-cqrs opened a connection for each message, as in the two rows below.',
    lift: 'what lifts `relay`: begun while the rows are written, it would have to wait for their COMMIT all the same.',
  },
  'django-bulk-create-kombu': BULK_CONNECTING,
  'django-bulk-create-3.0': BULK_CONNECTING,
  'django-sync': {
    profile: 'The way of a SYNC is that of a change: row, outbox, relay; the outbox is written and emptied again.',
    lift: 'what lifts `relay`.',
  },
  'django-sync-kombu': { profile: 'As for `django-sync`.', lift: 'what lifts `relay`.' },
  'latency-p50': {
    profile:
      'Both ways make the same steps: commit, wake, claim, publish, deliver, apply, commit. On two cores that writer, relay, worker and both servers share, ours waits longer for its turn at each, since it takes more processor time for a single message. Where the time is (marks in the code, median): from the commit to `publish` 1.0 ms (locks of the key buckets, claim), to the worker 1.3 ms (the broker), to the statement 0.7 ms (MikroORM’s transaction, mapping), to its answer 1.0 ms, for the COMMIT 0.6 ms.',
    lift: 'the COMMIT in the flight of the statement; a transaction without an EntityManager where no hook needs one (0.1 ms); cores of their own.',
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
      'A batch of 1,000 messages of 50 entities is 50 statements of 20 rows, sent together and neither parsed nor planned again; the work on rows is the same. What is left is the start and the end of a statement, 0.3 ms each, database and Node together: `pg` ends each with a Sync, which PostgreSQL answers at once.',
    lift: 'one Sync for all statements of a batch, which `pg` cannot send; larger batches (`replica.batchSize`) where entities are many.',
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
      'MikroORM, zod and the transport are loaded before the first message; the rest are `replica.prefetch` bodies in hand.',
    lift: 'a smaller `replica.prefetch` where bodies are large.',
  },
};
