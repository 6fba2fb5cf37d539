/**
 * A bank and a shop in one terminal: `npm run demo` on embedded databases, `npm run demo -- --servers` on real ones.
 * Exits with 0 only when both databases hold the same in the end. `--admin` opens their admin pages instead, with traffic
 * running until Ctrl-C.
 */
import { parseArgs } from 'node:util';
import { openAdminPage } from './admin-pages.ts';
import { Audience } from './audience.ts';
import { Screen } from './screen.ts';
import { embeddedStage, openBank, openShop, serverStage } from './services.ts';
import { tell } from './story.ts';
import { runTraffic } from './traffic.ts';

const { values } = parseArgs({
  options: {
    servers: { type: 'boolean', default: false },
    admin: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(
    [
      'npm run demo               on embedded PostgreSQL and a broker in memory',
      'npm run demo -- --servers  on real PostgreSQL and RabbitMQ (found or started as for npm test)',
      'npm run demo -- --admin    opens the admin pages of both services, with traffic running until Ctrl-C',
    ].join('\n'),
  );
  process.exit(0);
}

const started = performance.now();
const stage = values.servers
  ? serverStage(
      process.env['CQRS_TEST_DATABASE_URL'] ?? 'postgresql://postgres@127.0.0.1:5432/postgres',
      process.env['CQRS_TEST_AMQP_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672',
    )
  : embeddedStage();
const screen = new Screen();
screen.title('mikro-orm-cqrs', stage.title);

const bank = await openBank(stage);
const shop = await openShop(stage);
const audience = new Audience(screen);
if (!values.admin) await audience.watch(stage, bank, shop);
const consumer = shop.cqrs.createConsumer();
await consumer.start();

if (values.admin) {
  await using bankPage = await openAdminPage(bank);
  await using shopPage = await openAdminPage(shop);
  screen.links([
    ['the bank', bankPage.url],
    ['the shop', shopPage.url],
  ]);
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  await runTraffic(bank, end.signal);
} else {
  const isEqual = await tell(screen, audience, bank, shop);
  screen.verdict(isEqual, (performance.now() - started) / 1000);
  await screen.done();
  process.exitCode = isEqual ? 0 : 1;
}

await consumer.stop();
await audience.close();
await shop.close();
await bank.close();
