/** A server that the tests need, and every place where one may be found. */
export interface Service {
  readonly key: 'postgres' | 'rabbitmq';
  readonly label: string;
  /** The environment variable that names it. When set, nothing else is tried. */
  readonly variable: string;
  readonly port: number;
  /** Logins worth trying on a port of this machine, the likeliest first. */
  loginsOn(port: number): readonly string[];
  /** The port that docker-compose.yml publishes; not the standard one, which a server with other logins may hold. */
  readonly containerPort: number;
  readonly containerLogin: string;
}

export const postgres: Service = {
  key: 'postgres',
  label: 'PostgreSQL',
  variable: 'CQRS_TEST_DATABASE_URL',
  port: portFrom('CQRS_TEST_POSTGRES_PORT', 5432),
  loginsOn: (port) => [
    `postgresql://postgres@127.0.0.1:${port}/postgres`,
    `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`,
  ],
  containerPort: 55432,
  containerLogin: 'postgresql://postgres:postgres@127.0.0.1:55432/postgres',
};

export const rabbitmq: Service = {
  key: 'rabbitmq',
  label: 'RabbitMQ',
  variable: 'CQRS_TEST_AMQP_URL',
  port: portFrom('CQRS_TEST_RABBITMQ_PORT', 5672),
  loginsOn: (port) => [`amqp://guest:guest@127.0.0.1:${port}`],
  containerPort: 55672,
  containerLogin: 'amqp://guest:guest@127.0.0.1:55672',
};

function portFrom(variable: string, standard: number): number {
  return Number(process.env[variable] ?? standard);
}
