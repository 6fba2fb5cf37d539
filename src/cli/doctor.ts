import { examineService, type CheckReport } from '../operations/doctor/doctor.js';
import type { Options, Values } from './arguments.js';
import { Exit } from './command.js';
import { loadService, SERVICE_OPTIONS } from './service.js';

export const DOCTOR_OPTIONS = {
  json: { type: 'boolean', help: 'Print one JSON object.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs doctor`: looks at what a service cannot see while it runs. The exit code is 1 when there is a problem. */
export async function doctor(values: Values<typeof DOCTOR_OPTIONS>): Promise<number> {
  await using service = await loadService(values);
  const report = await examineService(service.cqrs);
  if (values.json) console.log(JSON.stringify(report, null, 2));
  else console.log(report.checks.flatMap(linesOf).join('\n'));
  return report.ok ? Exit.done : Exit.failed;
}

function linesOf({ name, about, state, findings, why }: CheckReport): string[] {
  const lines = findings.map(({ severity, where, what, cure }) => `  ${severity}: ${where}: ${what}\n    ${cure}`);
  const said = { ok: 'ok', findings: `${findings.length} found`, 'not-checked': 'not checked', failed: 'FAILED' }[
    state
  ];
  return [`${name}: ${said} (${about})`, ...(why === null ? [] : [`  ${why}`]), ...lines];
}
