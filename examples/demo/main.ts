/**
 * A bank and a shop in one terminal: `npm run demo` on embedded databases, `npm run demo -- --servers` on real ones.
 * Exits with 0 only when both databases hold the same in the end.
 */
import { parseArgs } from 'node:util';
import { Audience } from './audience.ts';
import { Screen } from './screen.ts';
import { embeddedStage, openBank, openShop, serverStage } from './services.ts';
import { tell } from './story.ts';

const { values } = parseArgs({
  options: { servers: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  console.log(
    'npm run demo               on embedded PostgreSQL and a broker in memory\nnpm run demo -- --servers  on real PostgreSQL and RabbitMQ (found or started as for npm test)',
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
await audience.watch(stage, bank, shop);
const consumer = shop.cqrs.createConsumer();
await consumer.start();

const isEqual = await tell(screen, audience, bank, shop);
screen.verdict(isEqual, (performance.now() - started) / 1000);
await screen.done();

await consumer.stop();
await audience.close();
await shop.close();
await bank.close();
process.exitCode = isEqual ? 0 : 1;
