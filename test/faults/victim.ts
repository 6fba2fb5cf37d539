/** The service that a fault happens to: a master with its relay, which writes when told to, or a worker. */
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
  cqrs.events.onAny((name, fields) => console.error(role, name, fields)); // for whoever replays a case that failed
}
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

process.on('message', (message: { write: Round }) => void obey(message));
process.on('SIGTERM', () => void end());
process.send!({ ready: true });
