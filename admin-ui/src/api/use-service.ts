import { useQuery } from '@tanstack/react-query';
import type { ServiceInfo } from '../../../src/admin/contract.ts';
import { serviceQuery } from './queries.ts';

/** The service; the shell shows pages only when it is known. */
export function useService(): ServiceInfo {
  const { data } = useQuery(serviceQuery);
  if (!data) throw new Error('a page was shown before its service was known');
  return data;
}

/** Whether the user may act here; otherwise there are no buttons. */
export function useMayAct(): boolean {
  const { user, readOnly } = useService();
  return user.role === 'operator' && !readOnly;
}
