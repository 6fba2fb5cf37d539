/** One part of the service under load: tells its memory and how far it is. */
import { purgeLetters, selectLetters } from '../../src/operations/dead-letters.js';
import type { Role } from './child.ts';
import { openMaster, openReplica, type Scene } from './scene.ts';

const { role, scene } = JSON.parse(process.env['LOAD_PART']!) as { role: Role; scene: Scene };
const { cqrs, orm } = role === 'relay' ? await openMaster(scene) : await openReplica(scene);
let done = 0;
cqrs.events.onAny((name) => {
  if (/^cqrs\.inbox\.(applied|skipped|dead-lettered|unreadable)$/.test(name)) done++;
});
cqrs.events.on('cqrs.relay.published', ({ count }) => void (done += count));
const tell = (): void => void process.send?.({ atMs: Date.now(), rssBytes: process.memoryUsage().rss, done });
const ticking = setInterval(tell, 250);
process.on('message', tell); // asked how far it is at this moment

if (role === 'worker' || role === 'relay') {
  const service = role === 'worker' ? cqrs.createConsumer() : cqrs.createRelay();
  await service.start();
  tell();
  await new Promise((resolve) => process.once('SIGTERM', resolve));
  await service.stop();
} else {
  await cqrs.connect();
  tell();
  if (role === 'purge') done = await purgeLetters(cqrs);
  else
    for await (const { letter, hand } of selectLetters(cqrs)) {
      await hand.putBack(letter.body, hand.headers as Record<string, string>);
      done++;
    }
}
clearInterval(ticking);
tell();
await cqrs.stop();
await orm.close();
process.disconnect();
