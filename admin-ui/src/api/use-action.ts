import { useMutation } from '@tanstack/react-query';
import type { EndpointName, JobDetail } from '../../../src/admin/contract.ts';
import { tellFailure } from '../parts/toasts.tsx';
import { call, type CallOptions } from './client.ts';
import { jobQuery, queryClient } from './queries.ts';

/** Endpoints that answer with a job. */
type Action = Extract<
  EndpointName,
  'sync' | 'cancelJob' | 'repair' | 'reconcile' | 'dryRunLetters' | 'retryLetters' | 'purgeLetters'
>;

/** Does something; the job it became is known to every page at once. A refusal is told. */
export function useAction<N extends Action>(name: N, onStarted?: (job: JobDetail) => void) {
  return useMutation({
    mutationFn: (options: CallOptions<N>) => call(name, options) as Promise<JobDetail>,
    onSuccess: (job) => {
      queryClient.setQueryData(jobQuery(job.id).queryKey, job);
      void queryClient.invalidateQueries({ queryKey: ['jobs'] });
      onStarted?.(job);
    },
    onError: tellFailure,
  });
}
