import { OwnPostgres } from './own-postgres.ts';
import { OwnRabbitMQ } from './own-rabbitmq.ts';

/** Both servers of the suite's own. They may be stopped, filled up and crashed: nobody else uses them. */
export class Servers implements AsyncDisposable {
  private constructor(
    readonly postgres: OwnPostgres,
    readonly rabbitmq: OwnRabbitMQ,
  ) {}

  /** @throws with what to install where one is missing */
  static async start(): Promise<Servers> {
    const [postgres, rabbitmq] = await Promise.all([OwnPostgres.create(), OwnRabbitMQ.create({ management: true })]);
    return new Servers(postgres, rabbitmq);
  }

  async createDatabase(name: string): Promise<string> {
    await this.postgres.sql(`create database ${name}`);
    return this.postgres.url(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.postgres[Symbol.asyncDispose](), this.rabbitmq[Symbol.asyncDispose]()]);
  }
}
