import type { SqlEntityManager } from '@mikro-orm/sql';
import type { Cqrs } from '../../cqrs.js';
import { type Executor, JobRow, JobTable } from '../../jobs/job-table.js';

/** The table of jobs of a service, over MikroORM's own connection. */
export function jobTable({ orm }: Cqrs): JobTable {
  const connection = (orm.em as SqlEntityManager).getConnection('write');
  const client = async (): Promise<Executor> => {
    await connection.ensureConnection();
    return connection.getClient() as unknown as Executor;
  };
  const driver = orm.driver as unknown as { getTableName(meta: object, options: object): string };
  return new JobTable(client, () => driver.getTableName(JobRow.meta, {}));
}
