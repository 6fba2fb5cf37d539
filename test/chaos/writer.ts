/** One of the two writers: random changes of the same few rows until it is told to stop. Prints how many it committed. */
import { openMaster, Row, sceneFromEnvironment } from './services.ts';

const scene = sceneFromEnvironment();
const { orm } = await openMaster(scene);
let seed = scene.seed + Number(process.env['CHAOS_WRITER']);
let stopped = false;
let committed = 0;
process.on('SIGTERM', () => (stopped = true));

// A small generator of our own, so that a seed means the same in every run.
function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}
const id = (): number => 1 + random(15);

const actions: (() => Promise<unknown>)[] = [
  async () => orm.em.fork().insert(Row, { id: id(), value: random(1000), text: 'new' }),
  async () => {
    const em = orm.em.fork();
    const row = await em.findOne(Row, id());
    if (row) row.value = random(1000);
    await em.flush();
  },
  async () => orm.em.fork().nativeUpdate(Row, { id: { $gt: id() } }, { value: random(1000) }),
  async () => orm.em.fork().nativeDelete(Row, { id: id() }),
  async () => orm.em.fork().upsertMany(Row, [{ id: id(), value: random(1000), text: 'up' }]),
  async () =>
    orm.em.fork().transactional(async (em) => {
      const key = id();
      await em.nativeDelete(Row, { id: key });
      await em.insert(Row, { id: key, value: random(1000), text: 'again' });
      if (random(4) === 0) throw new Error('rolled back');
    }),
];

process.send?.('ready');
while (!stopped) {
  try {
    await actions[random(actions.length)]!();
    committed++;
  } catch {
    // the other writer was there first (duplicate key, deadlock), or a deliberate rollback
  }
}
process.send?.({ committed });
await orm.close();
process.disconnect();
