import { planAdditions, type AdditivePlan } from '../operations/schema/additive-plan.js';
import type { Role } from '../operations/schema/describe-entities.js';
import { generateEntities, type WantedTable } from '../operations/schema/generate-entities.js';
import { runAdditions } from '../operations/schema/run-additions.js';
import { type Options, UsageError, type Values } from './arguments.js';
import { Exit } from './command.js';
import { openOutput } from './output.js';
import { startProgress } from './progress.js';
import { loadService, SERVICE_OPTIONS } from './service.js';

export const SCHEMA_OPTIONS = {
  additive: { type: 'boolean', help: 'Print the statements that add what this service needs to its database.' },
  run: { type: 'boolean', help: 'And run them.' },
  json: { type: 'boolean', help: 'Print one JSON object: statements, and what is refused, kept and left.' },
  entities: { type: 'boolean', help: 'Print entities that declare tables as they are.' },
  master: { type: 'string', multiple: true, value: '<table>[=<id>]', help: 'A table of a master; repeatable.' },
  replica: { type: 'string', multiple: true, value: '<table>[=<id>]', help: 'A table of a replica; repeatable.' },
  table: { type: 'string', multiple: true, value: '<table>', help: 'A table that is not replicated; repeatable.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

type SchemaValues = Values<typeof SCHEMA_OPTIONS>;

/** `cqrs schema`: what tables that exist lack, or entities that declare them. */
export async function schema(values: SchemaValues): Promise<number> {
  if (values.additive === values.entities) throw new UsageError('Say what is wanted: --additive or --entities.');
  return values.additive ? additive(values) : entities(values);
}

/** Ends with 1 when a declaration contradicts its table. */
async function additive(values: SchemaValues): Promise<number> {
  const { run = false } = values;
  const stray = (['master', 'replica', 'table'] as const).find((name) => values[name] !== undefined);
  if (stray) throw new UsageError(`--${stray} goes with --entities.`);
  await using service = await loadService(values);
  const plan = await planAdditions(service.cqrs);
  if (run) {
    using progress = startProgress({ unit: 'tables', always: true });
    await runAdditions(service.cqrs, plan.tables, (count) => progress.show(count, plan.tables.length));
  }
  using output = openOutput(process.stdout);
  if (values.json) await output.line(JSON.stringify({ run, ...plan }));
  else {
    for (const { statements } of plan.tables) for (const statement of statements) await output.line(statement);
    report(plan, run);
  }
  return plan.refused.length > 0 ? Exit.failed : Exit.done;
}

function report({ tables, refused, kept, left }: AdditivePlan, run: boolean): void {
  for (const { table, what } of kept) console.error(`kept: ${table}: ${what}, which no entity declares.`);
  for (const { table, what } of left) {
    console.error(`left: ${table}: ${what}, which is declared and not there. Add it in a migration, if it is wanted.`);
  }
  for (const { table, what } of refused) console.error(`refused: ${table}: ${what}.`);
  if (refused.length > 0) {
    console.error(
      'cqrs: entities contradict their tables. Declare what the tables have: cqrs schema --entities prints it.',
    );
  }
  const count = tables.reduce((sum, { statements }) => sum + statements.length, 0);
  if (count === 0) console.error('Nothing is to be added.');
  else console.error(run ? `${count} statements run.` : `${count} statements; --run runs them.`);
}

async function entities(values: SchemaValues): Promise<number> {
  const stray = (['run', 'json'] as const).find((name) => values[name] !== undefined);
  if (stray) throw new UsageError(`--${stray} goes with --additive.`);
  const wanted = [
    ...replicated('master', values.master),
    ...replicated('replica', values.replica),
    ...(values.table ?? []).map((table) => ({ table, replicated: undefined })),
  ];
  if (wanted.length === 0) throw new UsageError('Name at least one table, with --master, --replica or --table.');
  await using service = await loadService(values, false);
  const { source, classes, undeclared } = await generateEntities(service.cqrs, wanted);
  using output = openOutput(process.stdout);
  await output.text(source);
  for (const { className, table } of classes.filter(({ asked }) => !asked)) {
    console.error(`${className} declares ${table}, to which foreign keys refer.`);
  }
  for (const { table, what } of undeclared) {
    console.error(`${table}: ${what} cannot be declared; it stays in the database.`);
  }
  return Exit.done;
}

/** `bank_account=account`: a table and the id under which its rows travel, by default its name. */
function replicated(role: Role, texts: readonly string[] = []): WantedTable[] {
  return texts.map((text) => {
    const [table = '', ...rest] = text.split('=');
    const cqrsId = rest.join('=') || table.replace(/^.*\./, '');
    if (table === '') throw new UsageError(`--${role} needs the name of a table before the '=', not '${text}'.`);
    return { table, replicated: { role, cqrsId } };
  });
}
