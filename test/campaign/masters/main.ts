/**
 * `npm run campaign -- --masters`: random transactions on masters, and two oracles that know nothing of the library. After
 * each COMMIT the rows that PostgreSQL says it changed are compared with the messages of the same transaction; at the end
 * of each round the replica is compared with the master, table by table.
 *
 * The programs of a round follow from its seed and are the same each time. What is not decided by it: in which order the
 * statements of several clients reach the database, when a fault meets them, and so which of them fail.
 * Round R of a run with seed S is round 1 of a run with seed S + R - 1: `--seed <that> --rounds 1` replays it.
 */
import { createRequire } from 'node:module';
import { Arena } from './arena.ts';
import { type CaptureMode, modeNamed } from './mode.ts';
import { choicesOf } from './operations/index.ts';
import { Oracle } from './oracle.ts';
import { inWords, programOf } from './program.ts';
import { Random } from './random.ts';
import { type MastersCampaign, saveMastersCampaign, summary } from './report.ts';
import { Writers } from './writers.ts';

export interface Options {
  /** Go on for so long, … */
  readonly minutes: number;
  /** … until so many transactions are decoded, however long that takes, … */
  readonly transactions: number;
  /** … or for so many rounds. */
  readonly rounds?: number;
  readonly seed: number;
  readonly mode: string;
  readonly report: boolean;
  readonly say: (line: string) => void;
}

const SHAPE = { processes: 2, clients: 4 };
const PROGRAMS_A_ROUND = 60;
const LOOK_MS = 1_000;
/** More say no more. */
const MOST_PROBLEMS = 12;
/** The stream of faults, beside those of the clients. */
const FAULTS = 0xfa017;

export async function campaignOverMasters(options: Options): Promise<MastersCampaign> {
  const { say } = options;
  const mode = modeNamed(options.mode);
  await using arena = await Arena.open(mode);
  await using writers = await Writers.start(SHAPE, { url: arena.url, mode: mode.name });
  const campaign: MastersCampaign = {
    seed: options.seed,
    mode: mode.name,
    mikroOrm: (createRequire(import.meta.url)('@mikro-orm/core/package.json') as { version: string }).version,
    minutes: 0,
    rounds: 0,
    programs: writers.tally,
    transactions: 0,
    rows: 0,
    messages: 0,
    uncaptured: 0,
    unknownBefore: 0,
    kills: 0,
    terminations: 0,
    problems: [],
  };
  const oracle = new Oracle(mode);
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1_000;
  const enough = (): boolean =>
    options.rounds === undefined
      ? seconds() >= options.minutes * 60 && campaign.transactions >= options.transactions
      : campaign.rounds >= options.rounds;
  while (!enough() && campaign.problems.length === 0) {
    const seed = options.seed + campaign.rounds;
    const problems = await playRound(seed, { arena, writers, oracle, campaign });
    campaign.rounds++;
    campaign.minutes = Math.round(seconds() / 6) / 10;
    campaign.problems.push(...problems.slice(0, MOST_PROBLEMS).map((problem) => `seed ${seed}: ${problem}`));
    say(
      `round ${campaign.rounds}, seed ${seed}: ${campaign.transactions} transactions so far, ${(campaign.transactions / seconds()).toFixed(1)} a second`,
    );
    if (problems.length > 0)
      say(`${problems.length} problems. To replay: npm run campaign -- --masters --seed ${seed} --rounds 1`);
    else if (options.report) saveMastersCampaign(campaign); // as far as it is, whatever ends it
  }
  say(`\n${summary(campaign)}`);
  return campaign;
}

interface Scene {
  readonly arena: Arena;
  readonly writers: Writers;
  readonly oracle: Oracle;
  readonly campaign: MastersCampaign;
}

/** @returns what is wrong */
async function playRound(seed: number, { arena, writers, oracle, campaign }: Scene): Promise<string[]> {
  const problems: string[] = [];
  oracle.reset();
  await arena.begin(seed);
  const judge = async (): Promise<void> => {
    for (const committed of await arena.take()) {
      const verdict = oracle.judge(committed, (program) => writers.begun.get(program));
      if (verdict.rows > 0) campaign.transactions++;
      campaign.rows += verdict.rows;
      campaign.messages += verdict.messages;
      campaign.uncaptured += verdict.uncaptured;
      campaign.unknownBefore += verdict.unknownBefore;
      if (verdict.problems.length > 0) {
        const lines = [...verdict.problems.slice(0, 6), ...programsOf(modeNamed(campaign.mode), seed, verdict.steps)];
        problems.push(`transaction ${committed.xid}:\n    ${lines.join('\n    ')}`);
      }
    }
  };
  const over = new AbortController();
  const beside = Promise.all([
    again(over.signal, () => LOOK_MS, judge),
    bringFaults(Random.of(seed, FAULTS), over.signal, { arena, writers, campaign }),
  ]);
  try {
    await writers.play(seed, PROGRAMS_A_ROUND);
  } catch (error) {
    problems.push(String(error));
  }
  over.abort();
  await beside;
  const notMade = await arena.untilMade();
  if (notMade !== undefined) problems.push(notMade);
  await judge();
  problems.push(...writers.strange.splice(0));
  problems.push(...arena.dead.splice(0));
  // what is known to be missing needs not be missed
  if (problems.length === 0) problems.push(...(await arena.settle()));
  return problems;
}

/** kill -9 of a process that writes, or the end of some of its connections. */
function bringFaults(
  random: Random,
  signal: AbortSignal,
  { arena, writers, campaign }: Pick<Scene, 'arena' | 'writers' | 'campaign'>,
): Promise<void> {
  return again(
    signal,
    () => 4_000 + random.int(8_000),
    async () => {
      if (random.chance(0.3)) campaign.kills += Number(writers.kill(random.int(100)));
      else campaign.terminations += await arena.terminate(random.int(100));
    },
  );
}

/** Waits, does it, and waits again, until the signal. */
async function again(signal: AbortSignal, pause: () => number, work: () => Promise<void>): Promise<void> {
  const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  while (!signal.aborted) {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([over, new Promise((resolve) => (timer = setTimeout(resolve, pause())))]);
    clearTimeout(timer);
    if (!signal.aborted) await work();
  }
}

/** The programs that had a part in a transaction. */
function programsOf(mode: CaptureMode, seed: number, steps: ReadonlySet<string>): string[] {
  const names = [...steps].flatMap((step) => /(?:^|:)(\d+\.\d+)/.exec(step)?.[1] ?? []);
  return [...new Set(names)].slice(0, 4).map((name) => {
    const [client, transaction] = name.split('.').map(Number) as [number, number];
    return `program ${name}: ${inWords(programOf([seed, client, transaction], choicesOf(mode)))}`;
  });
}
