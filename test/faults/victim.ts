/** The service that a fault happens to: a master with its relay, which writes when told to, or a worker. */
import type { HealthState } from '../../src/activity/verdict.js';
import { type Fault, inject } from './injection.ts';
import { openMaster, openReplica, type Scene } from './scene.ts';
import { type Round, write } from './workload.ts';

const { role, scene, fault } = JSON.parse(process.env['FAULTS_VICTIM']!) as {
  role: 'master' | 'worker';
  scene: Scene;
  fault?: Fault;
};
const { cqrs, orm } = role === 'master' ? await openMaster(scene) : await openReplica(scene);
if (process.env['FAULTS_VERBOSE']) {
  // for whoever replays a case that failed
  cqrs.events.onAny((name, fields) => {
    const said = JSON.stringify(fields, (_, value: unknown) => (value instanceof Error ? value.message : value));
    console.error(new Date().toISOString(), role, process.pid, name, said);
  });
}
// What it says about its troubles, for whoever asserts it. An event a message would be too many.
cqrs.events.onAny((name) => {
  if (!/^cqrs\.(?:inbox\.(?:applied|skipped)|master\.announced)$/.test(name)) process.send!({ heard: name });
});
// Whether it calls itself well, as `/healthz` and `/readyz` do.
let health: HealthState | undefined;
setInterval(() => {
  const { state } = cqrs.health({ roles: [role === 'master' ? 'relay' : 'worker'] });
  if (state !== health) process.send!({ health: (health = state) });
}, 20).unref();
if (fault) inject(cqrs.events, fault);
const service = role === 'master' ? cqrs.createRelay() : cqrs.createConsumer();
await service.start();

async function obey(message: { write: Round }): Promise<void> {
  process.send!({ written: await write(orm, message.write) });
}

async function end(): Promise<void> {
  await service.stop();
  await cqrs.stop();
  await orm.close();
  process.disconnect();
}

// Without the one who started it there is nobody to end it.
process.on('disconnect', () => process.exit());
process.on('message', (message: { write: Round }) => void obey(message));
process.on('SIGTERM', () => void end());
process.send!({ ready: true });
