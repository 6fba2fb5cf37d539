import { expect, test } from '@jest/globals';
import { healthHandler } from '../../src/activity/health-handler.js';
import { healthOf, type Reason } from '../../src/activity/verdict.js';

const reason = (severity: Reason['severity']): Reason => ({
  code: 'stuck',
  severity,
  where: 'relay',
  text: 'it hangs',
  since: null,
});

test.each([
  ['healthy', [], 200, 200],
  ['degraded', [reason('degraded')], 200, 503],
  ['dead', [reason('degraded'), reason('dead')], 503, 503],
] as const)('%s', async (state, reasons, alive, ready) => {
  const handle = healthHandler(() => healthOf(reasons));
  const [healthz, readyz] = await Promise.all(
    ['healthz', 'readyz'].map((probe) => handle(new Request(`http://pod:8080/${probe}`))),
  );
  expect([healthz!.status, readyz!.status]).toEqual([alive, ready]);
  expect(await readyz!.json()).toMatchObject({ state });
  expect(readyz!.headers.get('cache-control')).toBe('no-store');
});

test('other paths and methods are told so; HEAD has no body', async () => {
  const handle = healthHandler(() => healthOf([]));
  expect((await handle(new Request('http://pod/other'))).status).toBe(404);
  expect((await handle(new Request('http://pod/healthz', { method: 'POST' }))).status).toBe(405);
  const head = await handle(new Request('http://pod/below/readyz', { method: 'HEAD' }));
  expect([head.status, await head.text()]).toEqual([200, '']);
});
