/**
 * `npm run campaign -- --minutes 30 [--seed N] [--rounds N] [--report] [--json]`: writers, bulk operations, rollbacks,
 * deletes and re-creations, syncs, and in the middle of them crashes, partitions and servers that go away; two relays,
 * three workers, on servers of its own. A plain map knows what the master must hold. After each round the databases are
 * equal, no row has come back, no effect happened twice, the outbox and the queues are empty and nothing is unacknowledged.
 *
 * Round R of a run with seed S is round 1 of a run with seed S + R - 1: `--seed <that> --rounds 1` replays it.
 *
 * With `--masters` another one: see `masters/main.ts`.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { Arena } from './arena.ts';
import { commands, type Round } from './commands.ts';
import { Model } from './model.ts';
import { saveCampaign, summary, type Campaign } from './report.ts';

const HELP = `npm run campaign -- [options]

  Random histories on servers of the campaign's own. Without --masters: faults of the network, the servers and the
  processes between masters and replicas. With it: every way to write a master, checked against what PostgreSQL commits.

  --masters           the campaign over masters
  --minutes N         how long, in minutes (1)
  --rounds N          so many rounds instead
  --transactions N    with --masters: at least so many, however long they take
  --seed N            the first round's; each round that follows has the next one (random)
  --mode NAME         with --masters: how writes are captured (driver, trigger)
  --report            keep the result, for docs/guarantees.md
  --json              the result as JSON, progress on stderr

  Exit code 1 when something was wrong; the last lines say how to replay it.`;
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    seed: { type: 'string' },
    report: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    masters: { type: 'boolean', default: false },
    transactions: { type: 'string' },
    mode: { type: 'string', default: 'driver' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit();
}
const minutes = Number(values.minutes);
const mostRounds = Number(values.rounds ?? Infinity);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const say = values.json ? console.error : console.log;
if (values.masters) {
  const { campaignOverMasters } = await import('./masters/main.ts');
  const { rounds, transactions, mode, report } = values;
  const asked = transactions !== undefined && !process.argv.some((word) => word.startsWith('--minutes'));
  say(`campaign over masters, seed ${seed}`);
  const { problems, ...result } = await campaignOverMasters({
    minutes: asked ? 0 : minutes,
    transactions: Number(transactions ?? 0),
    rounds: rounds === undefined ? undefined : Number(rounds),
    seed,
    mode,
    report,
    say,
  });
  if (values.json) console.log(JSON.stringify({ ...result, problems }));
  process.exit(problems.length === 0 && result.transactions > 0 ? 0 : 1);
}
say(`campaign: ${values.rounds ?? 'rounds for'} ${values.rounds ? 'rounds' : `${minutes} min`}, seed ${seed}`);

const campaign: Campaign = {
  seed,
  minutes: 0,
  rounds: 0,
  transactions: { committed: 0, rolledBack: 0, failed: 0, doubtful: 0 },
  syncs: 0,
  faults: {},
  slowestRecoveryMs: 0,
  lost: 0,
  resurrected: 0,
  duplicatedEffects: 0,
  problems: [],
};
const began = performance.now();
{
  await using arena = await Arena.open();
  const over = (): boolean => performance.now() - began >= minutes * 60_000;
  do {
    await playRound(arena, seed + campaign.rounds, 1_000 * (campaign.rounds + 1));
    campaign.rounds++;
    campaign.minutes = Math.round((performance.now() - began) / 6_000) / 10;
    if (values.report && campaign.problems.length === 0) saveCampaign(campaign); // as far as it is, whatever ends it
  } while (campaign.problems.length === 0 && campaign.rounds < mostRounds && (values.rounds !== undefined || !over()));
  if (campaign.problems.length === 0) campaign.problems.push(...(await arena.close()));
}
campaign.minutes = Math.round((performance.now() - began) / 6_000) / 10;
console.log(values.json ? JSON.stringify(campaign) : `\n${summary(campaign)}`);
const good = campaign.problems.length === 0 && campaign.transactions.committed > 0;
if (values.report && good) saveCampaign(campaign);
process.exitCode = good ? 0 : 1;
process.exit(); // whatever a fault has left behind

async function playRound(arena: Arena, roundSeed: number, base: number): Promise<void> {
  const tally: Round['tally'] = { committed: 0, rolledBack: 0, failed: 0, doubtful: 0, syncs: 0, faults: {} };
  const model = new Model();
  const ended = new AbortController();
  const round: Round = { arena, base, tally, background: [], ended };
  let problems: string[] = [];
  // A round is not shrunk: what it finds depends on the moment as well.
  const { errorInstance } = await fc.check(
    fc.asyncProperty(commands, (all) => fc.asyncModelRun(() => ({ model, real: round }), all)),
    { seed: roundSeed, numRuns: 1, endOnFailure: true },
  );
  if (errorInstance) problems.push(String(errorInstance));
  await arena.heal();
  const healedAt = performance.now();
  ended.abort();
  await Promise.all(round.background);
  const { standing, problems: found } = await arena.judge(base, model);
  const recoveryMs = Math.round(performance.now() - healedAt);
  problems = [...problems, ...found].map((problem) => `round ${campaign.rounds + 1} (seed ${roundSeed}): ${problem}`);

  for (const key of ['committed', 'rolledBack', 'failed', 'doubtful'] as const)
    campaign.transactions[key] += tally[key];
  campaign.syncs += tally.syncs;
  for (const [kind, count] of Object.entries(tally.faults)) {
    campaign.faults[kind] = (campaign.faults[kind] ?? 0) + count;
  }
  campaign.slowestRecoveryMs = Math.max(campaign.slowestRecoveryMs, recoveryMs);
  campaign.lost += standing.lost;
  campaign.resurrected += standing.resurrected;
  campaign.duplicatedEffects += standing.duplicatedEffects;
  campaign.problems.push(...problems);
  if (standing.lost + standing.resurrected + standing.duplicatedEffects > 0 && problems.length === 0) {
    campaign.problems.push(`round ${campaign.rounds + 1} (seed ${roundSeed}): ${JSON.stringify(standing)}`);
  }
  const faults = Object.entries(tally.faults).map(([kind, count]) => `${count} × ${kind}`);
  say(
    `round ${campaign.rounds + 1}, seed ${roundSeed}: ${tally.committed} committed, ${tally.doubtful} in doubt, ` +
      `${tally.syncs} syncs; ${faults.join(', ') || 'no faults'}; at rest after ${(recoveryMs / 1_000).toFixed(1)} s`,
  );
}
