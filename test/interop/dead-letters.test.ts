import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Fragile } from './models/our-masters.js';
import { FragileRef } from './models/our-replicas.js';
import { pythonCommand } from './support/django-service.js';
import { eventually } from './support/eventually.js';
import { ourCommand } from './support/our-command.js';
import { interop } from './support/python.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { pika } from './support/transports.js';
import { type UsToPython, usToPython } from './support/us-to-python.js';

/** Each master sends two rows that the replica refuses; then the second one is changed, and the replica refuses no more. */
interop('dead letters', () => {
  interop('that we have set aside', () => {
    let world: PythonToUs;
    beforeEach(async () => {
      FragileRef.permitted = false;
      world = await pythonToUs(pika, { replica: { maxRetries: 1, retryDelaySeconds: 0.1 } });
    });
    afterEach(async () => world[Symbol.asyncDispose]());

    test("are put back by Python's command, and the older state does not win", async () => {
      const ended = (name: string) =>
        eventually(
          () => world.heard.filter((event) => event.name === name),
          ({ length }) => length === 2,
        );
      await world.python.bulkCreate('fragile', [
        { id: 1, name: 'Zoë' },
        { id: 2, name: 'old' },
      ]);
      expect((await ended('cqrs.inbox.dead-lettered')).map(({ fields }) => fields)).toMatchObject([
        { cqrsId: 'fragile', retries: 1, error: { message: 'not yet' } },
        { cqrsId: 'fragile', retries: 1, error: { message: 'not yet' } },
      ]);
      FragileRef.permitted = true;
      await world.python.change('fragile', 2, { name: 'new' });
      await world.databases.replicaHas('select name from fragile', [{ name: 'new' }]);

      const service = {
        role: 'replica',
        transport: pika.python,
        databaseUrl: world.replicaUrl,
        exchange: world.exchange,
        queue: world.queue,
      } as const;
      const dumped = await pythonCommand(service, ['cqrs_dead_letters', 'dump']);
      expect(
        dumped.stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as object),
      ).toMatchObject([
        { cqrs_id: 'fragile', instance_pk: 1, retries: 1, meta: { cqrs: { error: 'Error: not yet' } } },
        { cqrs_id: 'fragile', instance_pk: 2, retries: 1 },
      ]);
      const retried = await pythonCommand(service, ['cqrs_dead_letters', 'retry']);
      expect(retried).toMatchObject({ code: 0, stdout: expect.stringContaining('Retrying: 2/2') });

      expect(await world.databases.same('fragile')).toMatchObject([
        { id: '1', name: 'Zoë', cqrs_revision: '0' },
        { id: '2', name: 'new', cqrs_revision: '1' },
      ]);
      expect((await ended('cqrs.inbox.applied')).map(({ fields }) => fields)).toMatchObject([
        { instancePk: '2' },
        { instancePk: '1' },
      ]);
      const state = () => world.ours.cqrs.transport.inspect(`dead_letter_${world.queue}`);
      expect(await state()).toMatchObject({ messages: 0 });
    });
  });

  interop('that Python has set aside', () => {
    let world: UsToPython;
    beforeEach(async () => void (world = await usToPython(pika)));
    afterEach(async () => world[Symbol.asyncDispose]());

    test('are put back by our command, and the older state does not win', async () => {
      const em = () => world.ours.orm.em.fork();
      const deadLetters = `dead_letter_${world.queue}`;
      await em().insertMany(Fragile, [
        { id: 1, name: 'Zoë' },
        { id: 2, name: 'old' },
      ]);
      expect(
        await eventually(
          () => world.waitingIn(deadLetters),
          (count) => count === 2,
        ),
      ).toBe(2);
      await world.databases.replica('insert into permit (id) values (1)');
      await em().nativeUpdate(Fragile, { id: 2 }, { name: 'new' });
      await world.databases.replicaHas('select name from fragile', [{ name: 'new' }]);

      const service = {
        role: 'replica',
        databaseUrl: world.replicaUrl,
        exchange: world.exchange,
        queue: world.queue,
      } as const;
      const listed = await ourCommand(service, ['dead-letters', 'list', '--json']);
      expect(
        listed.stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as object),
      ).toMatchObject([
        { cqrsId: 'fragile', instancePk: '1', retries: 1, reason: null },
        { cqrsId: 'fragile', instancePk: '2', retries: 1, reason: null },
      ]);
      const retried = await ourCommand(service, ['dead-letters', 'retry']);
      expect(retried).toMatchObject({ code: 0, stderr: expect.stringContaining('2 of 2 dead letters put back') });

      expect(await world.databases.same('fragile')).toMatchObject([
        { id: '1', name: 'Zoë', cqrs_revision: '0' },
        { id: '2', name: 'new', cqrs_revision: '1' },
      ]);
      await world.worker.says('Wrong CQRS sync order: pk = 2');
      expect(await world.waitingIn(deadLetters)).toBe(0);
    });
  });
});
