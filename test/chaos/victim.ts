/** The relay or the worker, to be killed at any moment. */
import { openMaster, openReplica, sceneFromEnvironment } from './services.ts';

const scene = sceneFromEnvironment();
const { cqrs, orm } = process.argv[2] === 'relay' ? await openMaster(scene) : await openReplica(scene);
const service = process.argv[2] === 'relay' ? cqrs.createRelay() : cqrs.createConsumer();
await service.start();
process.send?.('ready');

async function end(): Promise<void> {
  await service.stop();
  await cqrs.stop();
  await orm.close();
  process.disconnect();
}
process.on('SIGTERM', () => void end());
