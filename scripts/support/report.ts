/** One line for a check, its problems below; any problem makes the process fail. */
export function report(subject: string, problems: readonly string[]): void {
  console.log(`${problems.length === 0 ? '✓' : '✗'} ${subject}`);
  for (const problem of problems) console.log(`  ${problem.replaceAll('\n', '\n  ')}`);
  if (problems.length > 0) process.exitCode = 1;
}
