/**
 * `npm run test:faults [-- --smoke] [--json] [--only name,name] [--seed N] [--report]`: every fail point × {throw, kill -9,
 * hang}, every trouble of the network, servers that fail, and interleavings, on servers of its own, the service at fault in
 * a process of its own. `--smoke` is a selection of a few minutes; `--only` takes the cases whose names hold one of the
 * words. `--json` prints one object a case, `--report` keeps the results in test/faults/report.json, from which
 * docs/guarantees.md takes them.
 */
import { parseArgs } from 'node:util';
import { INTERLEAVINGS } from './interleavings.ts';
import { MATRIX, runCase } from './matrix.ts';
import { NETWORK, runNetworkCase } from './network.ts';
import { OUTAGES, runOutage } from './outages.ts';
import { POLICIES } from './policies.ts';
import { REFUSALS } from './refusals.ts';
import { saveReport } from './report.ts';
import { passed, type Result, TABLE_HEAD, tableRow } from './result.ts';
import { Servers } from './servers/servers.ts';
import { Stage } from './stage.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    only: { type: 'string' },
    seed: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));

/** One of each action, and the boundaries at which two systems disagree for a moment. */
const SMOKE: ReadonlySet<string> = new Set([
  'master.before-outbox-insert throw',
  'master.after-commit kill',
  'relay.after-confirm kill',
  'relay.before-publish hang',
  'replica.after-commit kill',
  'replica.before-commit throw',
  'inbox.before-ack kill',
  'inbox.while-dead-lettering kill',
  'network.relay-broker reset',
  'network.worker-broker flapping',
  'network.worker-database black hole',
  'network.broker stopped and started',
  'network.database connections terminated',
  'interleaving.relay paused past its takeover',
]);

type Case = readonly [name: string, run: (stage: Stage, base: number, seed: number) => Promise<Result>];
const everything: readonly Case[] = [
  ...MATRIX.map((one): Case => [`${one.point} ${one.action}`, (stage, ...rest) => runCase(stage, one, ...rest)]),
  ...NETWORK.map((one): Case => [`${one.name} ${one.action}`, (stage, ...rest) => runNetworkCase(stage, one, ...rest)]),
  ...OUTAGES.map((one): Case => [`${one.name} ${one.action}`, (stage, ...rest) => runOutage(stage, one, ...rest)]),
  ...INTERLEAVINGS.map(({ name, action, run }): Case => [`${name} ${action}`, run]),
  ...[...REFUSALS, ...POLICIES].map((one): Case => [
    `${one.name} ${one.action}`,
    (stage, ...rest) => runOutage(stage, one, ...rest),
  ]),
];

function chosen([name]: Case): boolean {
  if (values.only !== undefined) return values.only.split(',').some((part) => name.includes(part));
  return !values.smoke || SMOKE.has(name);
}

if (!values.json) console.log(`faults: seed ${seed} (replay with --seed ${seed})\n\n${TABLE_HEAD}`);
const results: Result[] = [];
{
  await using servers = await Servers.start();
  await using stage = await Stage.set(servers);
  for (const one of everything.filter(chosen)) {
    // Its place in the whole decides its keys and its seed, so that `--only` replays what the whole run did.
    const place = everything.indexOf(one) + 1;
    const result = await one[1](stage, place * 100, seed + place);
    results.push(result);
    console.log(values.json ? JSON.stringify(result) : tableRow(result));
  }
}

const failed = results.filter((result) => !passed(result));
if (values.report) saveReport(results.filter(passed));
if (!values.json) console.log(`\nfaults: ${results.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 && results.length > 0 ? 0 : 1;
