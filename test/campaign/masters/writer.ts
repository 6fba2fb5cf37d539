/** A process with several clients that run programs; ended by kill -9 as often as not. */
import { Client } from './client.ts';
import { choicesOf } from './operations/index.ts';
import { modeNamed } from './mode.ts';
import { inWords, programOf } from './program.ts';
import { atWork, openMasters } from './service.ts';
import { endOf, type FromWriter, type Task } from './writing.ts';

const { url, mode: modeName } = JSON.parse(process.env['CAMPAIGN_WRITER']!) as { url: string; mode: string };
const mode = modeNamed(modeName);
const choices = choicesOf(mode);
const { orm, cqrs } = await openMasters(url, mode.name);
const say = (message: FromWriter): void => void process.send!(message);
/** How often raw SQL was told as not captured. */
let told = 0;
cqrs.events.on('cqrs.master.uncaptured', ({ reason }) => {
  if (/raw SQL/.test(reason)) told++;
});

async function work({ seed, client, from, count }: Task): Promise<void> {
  const runner = new Client(orm, { url, mode, told: () => told });
  for (let transaction = from; transaction < from + count; transaction++) {
    const program = programOf([seed, client, transaction], choices);
    const began = performance.now();
    say({ begun: { client, transaction, at: Date.now() } });
    const end = await endOf(() => atWork.run(program.name, () => runner.run(program)));
    say({ ended: { client, transaction, milliseconds: performance.now() - began, ...end } });
    if (end.strange !== undefined) say({ strange: `${program.name} ${end.strange}\n    ${inWords(program)}` });
  }
  say({ finished: client });
}

// Without the one who started it there is nobody to end it.
process.on('disconnect', () => process.exit());
process.on('message', (task: Task) => void work(task));
say({ ready: true });
