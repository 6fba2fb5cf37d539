import { ConfigurationError, type Finding } from '../../kernel/errors.js';
import type { Check } from './check.js';

/** What a start would refuse or warn of. */
export const setUpCheck: Check = {
  name: 'set-up',
  about: 'what the database must have for masters and replicas, and what writes masters past capture',
  async run(cqrs) {
    const findings: Finding[] = [];
    const off = [
      cqrs.events.on('cqrs.replica.warned', (warning) => findings.push({ severity: 'advice', ...warning })),
      cqrs.events.on('cqrs.master.uncaptured', ({ entity, reason, cure }) =>
        findings.push({ severity: 'advice', where: entity, what: reason, cure }),
      ),
    ];
    try {
      await cqrs.check();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      findings.unshift(...error.problems.map((problem) => ({ severity: 'problem' as const, ...problem })));
    } finally {
      for (const end of off) end();
    }
    return { findings };
  },
};
