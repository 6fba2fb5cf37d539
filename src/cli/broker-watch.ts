import { describeError } from '../kernel/describe-error.js';
import type { Events } from '../kernel/events.js';

/**
 * Tells when a long command waits for the broker, and when it goes on: one line each, however often it is tried in
 * between. On standard error, so that no reader of results meets it.
 * @param ifStopped what becomes of the work if the command is stopped now, and how to go on.
 */
export function watchBroker(events: Events, say: (line: string) => void, ifStopped: () => string): Disposable {
  // A command may have a connection to publish and one to consume.
  let lost = 0;
  const reasons = new Set<'away' | 'blocked' | 'failing'>();
  const waits = (reason: 'away' | 'blocked' | 'failing', why: string): void => {
    if (reasons.size === 0) say(`cqrs: ${why}; waiting. Ctrl-C is safe: ${ifStopped()}`);
    reasons.add(reason);
  };
  const goesOn = (reason: 'away' | 'blocked' | 'failing', why: string): void => {
    if (reasons.delete(reason) && reasons.size === 0) say(`cqrs: ${why}; going on.`);
  };
  const because = (error: Error | undefined): string => (error ? `: ${describeError(error)}` : '');
  const offs = [
    events.on('cqrs.transport.disconnected', ({ broker, error }) => {
      lost++;
      waits('away', `disconnected from ${broker}${because(error)}`);
    }),
    events.on('cqrs.transport.connected', ({ broker }) => {
      if (lost > 0 && --lost === 0) goesOn('away', `connected to ${broker} again`);
    }),
    events.on('cqrs.transport.blocked', ({ broker, reason }) =>
      waits('blocked', `${broker} holds publishers back: ${reason}`),
    ),
    events.on('cqrs.transport.unblocked', ({ broker }) => goesOn('blocked', `${broker} lets publishers go on`)),
    events.on('cqrs.relay.failed', ({ error }) => {
      // While the broker is away or blocked, that is why.
      if (reasons.size === 0 || reasons.has('failing')) waits('failing', `cannot publish${because(error)}`);
    }),
    events.on('cqrs.relay.recovered', () => goesOn('failing', 'publishing works again')),
  ];
  return { [Symbol.dispose]: () => offs.forEach((off) => off()) };
}
