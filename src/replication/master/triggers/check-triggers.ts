import { CompiledQuery } from 'kysely';
import type { Problem } from '../../../kernel/errors.js';
import { ADD_WHAT_IS_MISSING } from '../../../postgres/schema-version.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import type { TriggerDefinition } from './capture-triggers.js';

/** A master whose triggers have to be there. */
export interface ExpectedTriggers {
  readonly entity: string;
  /** Its table, quoted, with its schema. */
  readonly sqlName: string;
  readonly triggers: readonly TriggerDefinition[];
}

interface FoundTrigger {
  readonly table: string;
  readonly name: string;
  readonly enabled: string;
}

/** What the triggers of masters lack; asked at start. */
export async function checkTriggers(client: Executor, masters: readonly ExpectedTriggers[]): Promise<Problem[]> {
  if (masters.length === 0) return [];
  const { rows } = await client.executeQuery<FoundTrigger>(
    CompiledQuery.raw(
      `select name as "table", t.tgname::text as name, t.tgenabled::text as enabled
         from unnest($1::text[]) as name
         join pg_trigger as t on t.tgrelid = to_regclass(name) and not t.tgisinternal`,
      [masters.map(({ sqlName }) => sqlName)],
    ) as CompiledQuery<FoundTrigger>,
  );
  return masters.flatMap(({ entity, sqlName, triggers }): Problem[] => {
    const wanted = [...triggers.map(({ name }) => name), TRUNCATE];
    const found = rows.filter(({ table }) => table === sqlName);
    const missing = wanted.filter((name) => !found.some((one) => one.name === name));
    // Those that only replicas' sessions or none fire see no write.
    const off = found.filter(({ name, enabled }) => wanted.includes(name) && !FIRES.has(enabled));
    const problems: Problem[] = [];
    if (missing.length > 0) {
      const what = `its table ${sqlName} lacks the triggers that capture its writes, as this release makes them: ${missing.join(', ')}.`;
      problems.push({ where: entity, what, cure: ADD_WHAT_IS_MISSING });
    }
    if (off.length > 0) {
      const names = off.map(({ name }) => name).join(', ');
      const cure = `Enable them: alter table ${sqlName} enable trigger …; then run cqrs reconcile, since writes meanwhile were not captured.`;
      problems.push({ where: entity, what: `triggers of ${sqlName} are disabled: ${names}.`, cure });
    }
    return problems;
  });
}

const TRUNCATE = 'cqrs_before_truncate';
const FIRES = new Set(['O', 'A']);
