import type { Child } from './child.ts';

/** A trouble that passes makes a process degraded at most, never dead; after it the process calls itself healthy again. */
export async function healthProblems(child: Child, { degrades }: { readonly degrades: boolean }): Promise<string[]> {
  const problems: string[] = [];
  if (!(await child.calls('healthy'))) problems.push('it did not call itself healthy again');
  if (degrades && !child.states.includes('degraded')) problems.push('it did not call itself degraded');
  if (child.states.includes('dead')) problems.push('it called itself dead');
  return problems;
}
