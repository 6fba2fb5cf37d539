import type * as z from 'zod';
import type { Cqrs } from '../../cqrs.js';
import type { Answer, EndpointName, Endpoints } from '../contract.js';
import type { JobRunner } from '../jobs/job-runner.js';
import type { LetterBox } from '../dead-letters/letters.js';
import type { AdminUser, CheckedOptions } from '../options.js';
import type { OverviewLook } from '../overview/overview.js';
import type { ReplicaMeasures } from '../overview/replica-measures.js';
import type { BrowsableTables } from '../rows/tables.js';

/** What every endpoint has at hand. */
export interface AdminParts {
  readonly cqrs: Cqrs;
  readonly options: CheckedOptions<never>;
  readonly tables: BrowsableTables;
  readonly jobs: JobRunner;
  readonly letters: LetterBox;
  readonly overview: OverviewLook;
  readonly measures: ReplicaMeasures;
}

/** One request, checked by the schemas of its endpoint. */
export interface Call<N extends EndpointName> {
  /** The parameters of the path, `cqrsId` or `id`; empty when it has none. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Checked<Endpoints[N], 'query'>;
  readonly body: Checked<Endpoints[N], 'body'>;
  readonly request: Request;
  readonly user: AdminUser;
}

type Checked<E, K extends string> = E extends { readonly [Key in K]: infer S extends z.ZodType }
  ? z.output<S>
  : undefined;

/** Answers one endpoint; what it throws as an ApiProblem is the answer, too. */
export type Handle<N extends EndpointName> = (parts: AdminParts, call: Call<N>) => Promise<Answer<N>>;
