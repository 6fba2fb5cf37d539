import type { SqlEntityManager } from '@mikro-orm/sql';
import { CapturedChange } from '../../replication/master/triggers/captured-changes.js';
import { examinedMaster, examineTriggers } from '../../replication/master/triggers/examine-triggers.js';
import type { CapturedDriver } from '../../replication/master/mikro-orm-internals.js';
import type { Executor } from '../../messaging/outbox/outbox.js';
import type { Check } from './check.js';

/** Masters against the triggers that their tables have. */
export const triggersCheck: Check = {
  name: 'triggers',
  about: 'triggers that capture masters: their functions, what other releases have left, parts of tables',
  async run({ orm, masters }) {
    const driver = orm.driver as unknown as CapturedDriver;
    const tables = new Set([...masters].map(({ table }) => table));
    if (tables.size === 0) return { findings: [] };
    const connection = (orm.em as SqlEntityManager).getConnection('write');
    await connection.ensureConnection();
    const client = connection.getClient() as unknown as Executor;
    const examined = [...tables].map((table) => examinedMaster(table, driver.getTableName(table.root, {})));
    return { findings: await examineTriggers(client, driver.getTableName(CapturedChange.meta, {}), examined) };
  },
};
